/** A whole cluster in one process, with seeded faults and the checks of design section 2. */
import type { CoordinatorEvent } from '@thaw/coordinator';
import {
  decodeFrame,
  decodeMessage,
  encodeMessage,
  ownerOf,
  sha256Hex,
  type Heartbeat,
  type StateHead,
  type StepResult,
} from '@thaw/shared/protocol';
import { Trainer, type TrainerEvent, type TrainerOptions, type TrainingArrays } from '@thaw/trainer';
import type { z } from 'zod';
import { difference, oracleOf, timings, type Oracle } from './oracle.js';
import { CoordinatorProcess, TrainerProcess } from './processes.js';
import { scenarios, type Scenario } from './toy-model.js';
import { Store, Violation, World } from './world.js';

export type MakeTrainer = (options: TrainerOptions) => Trainer;

/** Which faults a schedule has. */
export interface Faults {
  readonly firstTrainers: number;
  readonly kills: number;
  readonly coordinatorKills: number;
  readonly joins: number;
  readonly leaves: number;
  readonly stops: number;
  readonly coordinatorStops: number;
  readonly falseNotices: number;
  readonly brokerLosses: number;
  readonly lossRate: number;
  readonly duplicateRate: number;
  readonly hostile: boolean;
  readonly slowDisk: boolean;
  /** The lanes of the first trainer take so many times as long. */
  readonly firstSlowness: number;
}

export interface Outcome {
  readonly violation: string | undefined;
  readonly virtualMs: number;
  readonly events: number;
  readonly trainers: number;
  readonly generations: number;
  readonly manifests: number;
  /** What happened, so that a test can say that the schedules reach it. */
  readonly seen: Readonly<Record<Sight, number>>;
}
export type Sight = 'raise' | 'skip' | 'snapshot' | 'checkpointLoaded' | 'lateResult' | 'takeover' | 'balanced';

const noisyMs = 2500;
const limitMs = 120_000;

export class Cluster {
  readonly world: World;
  readonly store: Store;
  readonly scenario: Scenario;
  readonly oracle: Oracle;
  readonly makeTrainer: MakeTrainer;
  hostile = false;
  slowDisk = false;
  firstSlowness = 1;
  trainers: TrainerProcess[] = [];
  coordinators: CoordinatorProcess[] = [];
  readonly seen: Record<Sight, number> = {
    raise: 0,
    skip: 0,
    snapshot: 0,
    checkpointLoaded: 0,
    lateResult: 0,
    takeover: 0,
    balanced: 0,
  };
  private readonly codec: boolean;
  private incarnations = 0;
  private readonly totals = new Map<string, string>();
  private readonly boundaries = new Map<string, number>();

  constructor(seed: number, scenario: Scenario, makeTrainer: MakeTrainer) {
    this.world = new World(seed);
    this.store = new Store(this.world);
    this.scenario = scenario;
    this.oracle = oracleOf(scenario);
    this.makeTrainer = makeTrainer;
    this.codec = seed % 16 === 0;
  }

  startTrainer(name = `t${this.world.random.between(0, 3)}`): void {
    this.trainers.push(new TrainerProcess(this, `${name}-${(this.incarnations++).toString(16).padStart(4, '0')}`));
  }
  startCoordinator(): void {
    this.coordinators.push(new CoordinatorProcess(this, `c-${(this.incarnations++).toString(16).padStart(4, '0')}`));
  }
  get liveTrainers(): TrainerProcess[] {
    return this.trainers.filter((trainer) => trainer.alive);
  }
  get liveCoordinators(): CoordinatorProcess[] {
    return this.coordinators.filter((coordinator) => coordinator.alive);
  }

  // ---- the network ------------------------------------------------------------------------------------------------------

  /** Messages go through the real codec in some schedules; it is much slower than everything else here. */
  recode<S extends z.ZodType>(schema: S, message: z.output<S>): z.output<S> {
    return this.codec ? decodeMessage(schema, encodeMessage(schema, message as z.input<S>)) : message;
  }

  sendFrame(from: TrainerProcess, to: 'all' | { readonly id: string }, parts: readonly Uint8Array[]): void {
    this.checkFrame(from, parts);
    const { random } = this.world;
    // As from a socket: somewhere in a larger buffer, at any alignment.
    const padding = random.between(0, 3);
    const whole = Buffer.concat([new Uint8Array(padding), ...parts]);
    const bytes = new Uint8Array(whole.buffer, whole.byteOffset + padding, whole.byteLength - padding);
    for (const trainer of this.liveTrainers) {
      if (to !== 'all' && to.id !== trainer.id) continue;
      if (this.hostile && random.chance(0.01)) {
        const bad = bytes.slice(0, random.between(0, bytes.length));
        if (bad.length > 0) bad[random.between(0, Math.min(40, bad.length) - 1)] = random.between(0, 255);
        if (!readable(bad)) trainer.receive({ kind: 'frame', bytes: bad });
      }
      this.world.deliver(() => trainer.receive({ kind: 'frame', bytes }));
    }
  }
  heartbeat(from: TrainerProcess, message: Heartbeat): void {
    const leaders = this.liveCoordinators.filter((coordinator) => coordinator.machine.leading);
    if (leaders.length === 0) return;
    const leader = this.world.random.pick(leaders);
    this.world.deliver(() =>
      leader.receive({ kind: 'heartbeat', request: 1, message }, (answer) =>
        this.world.deliver(() => from.receive({ kind: 'heartbeatAnswer', answer })),
      ),
    );
  }
  toCoordinators(event: () => CoordinatorEvent): void {
    for (const coordinator of this.liveCoordinators) this.world.deliver(() => coordinator.receive(event()));
  }
  toTrainers(event: () => TrainerEvent): void {
    for (const trainer of this.liveTrainers) this.world.deliver(() => trainer.receive(event()));
  }
  toTrainer(id: string, event: TrainerEvent): void {
    const trainer = this.liveTrainers.find((candidate) => candidate.id === id);
    if (trainer !== undefined) this.world.deliver(() => trainer.receive(event));
  }
  /** A process has ended: the broker says so, mostly. */
  gone(trainer: TrainerProcess): void {
    if (this.world.random.chance(0.7)) this.toCoordinators(() => ({ kind: 'disconnected', id: trainer.id }));
  }

  // ---- checks -----------------------------------------------------------------------------------------------------------

  /** P1: the state at a boundary is the oracle's, to the bit. */
  checkState(head: StateHead, arrays: TrainingArrays | undefined, who: string): void {
    const expected = this.oracle.boundaries[head.step];
    if (expected === undefined) throw new Violation(`P1: ${who} is at step ${head.step}, beyond the end`);
    const different = sameHead(head, expected.head) ? arrays && difference(arrays, expected.arrays) : 'head';
    if (different !== undefined) throw new Violation(`P1: ${different} of ${who} differ at step ${head.step}`);
  }
  checkResult(result: StepResult): void {
    if (JSON.stringify(result.laneLosses) !== JSON.stringify(this.oracle.losses[result.step]))
      throw new Violation(`P2: losses of step ${result.step} differ`);
    if (JSON.stringify(result.skippedLanes) !== JSON.stringify(this.oracle.skippedLanes[result.step]))
      throw new Violation(`P2: skipped lanes of step ${result.step} differ`);
  }
  /** P4 and I5: a manifest names slices of exactly one boundary, and they are stored. */
  checkManifest(head: StateHead, slices: readonly string[]): void {
    const expected = this.oracle.boundaries[head.step]!;
    if (!sameHead(head, expected.head) || JSON.stringify(slices) !== JSON.stringify(expected.slices))
      throw new Violation(`P4: manifest of step ${head.step} names other bytes`);
    for (const sha256 of slices)
      if (!this.store.blobs.has(sha256))
        throw new Violation(`P4: manifest of step ${head.step} names a blob that is not stored`);
  }
  /** I1: a total is the same whoever publishes it. I4: its contributors had reached its step. */
  private checkFrame(from: TrainerProcess, parts: readonly Uint8Array[]): void {
    const head = parts[0]!;
    if (head[5] === 1) this.seen.raise++;
    if (head[5] !== 2) return;
    const f = decodeFrame(Buffer.concat(parts));
    if (f.kind === 'skip') this.seen.skip++;
    const key = `${f.step}/${f.chunk}`;
    const content = sha256Hex(
      f.kind,
      Float32Array.from(f.losses.map(({ loss }) => loss)).toString(),
      f.items.join(),
      new Uint8Array(f.exponents),
      f.data,
    );
    const known = this.totals.get(key);
    if (known === undefined) {
      this.totals.set(key, content);
      const plan = from.machine.plan;
      if (plan === undefined || ownerOf(plan, f.chunk) !== from.id)
        throw new Violation(`I1: total ${key} is first published by ${from.id}, which does not own it`);
      for (const trainer of this.trainers)
        this.boundaries.set(trainer.id, Math.max(this.boundaries.get(trainer.id) ?? -1, trainer.boundary));
      for (const member of plan.members)
        if ((this.boundaries.get(member.id) ?? -1) < f.step)
          throw new Violation(
            `I4: total ${key} counts lanes of ${member.id}, which is at ${this.boundaries.get(member.id)}`,
          );
    } else if (known !== content) throw new Violation(`I1: total ${key} is published with two contents`);
  }
}

const sameHead = (a: StateHead, b: StateHead): boolean =>
  (Object.keys(a) as (keyof StateHead)[]).every((key) => a[key] === b[key]);

function readable(bytes: Uint8Array): boolean {
  try {
    decodeFrame(bytes);
    return true;
  } catch {
    return false;
  }
}

/** Faults of a schedule, drawn from its seed. */
export function drawFaults(cluster: Cluster): Faults {
  const { random } = cluster.world;
  const some = (most: number, probability: number): number =>
    random.chance(probability) ? random.between(1, most) : 0;
  return {
    firstTrainers: random.between(1, 4),
    kills: some(4, 0.7),
    coordinatorKills: some(3, 0.4),
    joins: some(3, 0.6),
    leaves: some(2, 0.3),
    stops: some(3, 0.4),
    coordinatorStops: some(2, 0.3),
    falseNotices: some(2, 0.2),
    brokerLosses: some(4, 0.4),
    lossRate: random.pick([0, 0.01, 0.05, 0.2]),
    duplicateRate: random.pick([0, 0.02, 0.2]),
    hostile: random.chance(0.2),
    slowDisk: random.chance(0.2),
    firstSlowness: random.chance(0.05) ? 10 : 1,
  };
}

/** Runs one schedule. */
export function runSchedule(
  seed: number,
  options: { readonly scenario?: Scenario; readonly faults?: Partial<Faults>; readonly makeTrainer?: MakeTrainer } = {},
): Outcome {
  const scenario = options.scenario ?? scenarios[seed % scenarios.length]!;
  const cluster = new Cluster(seed, scenario, options.makeTrainer ?? ((trainerOptions) => new Trainer(trainerOptions)));
  const { world } = cluster;
  let violation: string | undefined;
  try {
    play(cluster, { ...drawFaults(cluster), ...options.faults });
  } catch (error) {
    violation =
      error instanceof Violation
        ? error.message
        : `exception: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`;
  }
  const { plan } = cluster.store;
  return {
    violation,
    virtualMs: world.nowMs,
    events: world.events,
    trainers: cluster.trainers.length,
    generations: plan?.plan.generation ?? 0,
    manifests: cluster.store.manifests.size,
    seen: cluster.seen,
  };
}

function play(cluster: Cluster, faults: Faults): void {
  const { world, scenario } = cluster;
  const { random } = world;
  world.lossRate = faults.lossRate;
  world.duplicateRate = faults.duplicateRate;
  cluster.hostile = faults.hostile;
  cluster.slowDisk = faults.slowDisk;
  cluster.firstSlowness = faults.firstSlowness;
  for (let i = random.between(1, 2); i > 0; i--) cluster.startCoordinator();
  for (let i = faults.firstTrainers; i > 0; i--) cluster.startTrainer();

  const plan = (count: number, fault: () => void): void => {
    for (let i = 0; i < count; i++) world.after(random.between(50, noisyMs), fault);
  };
  const victim = (): TrainerProcess | undefined =>
    cluster.liveTrainers.length > 0 ? random.pick(cluster.liveTrainers) : undefined;
  plan(faults.kills, () => {
    const trainer = victim();
    if (trainer === undefined) return;
    trainer.alive = false;
    cluster.gone(trainer);
    if (random.chance(0.5)) world.after(random.between(0, 400), () => cluster.startTrainer());
  });
  plan(faults.joins, () => cluster.startTrainer());
  plan(faults.leaves, () => victim()?.leave());
  plan(faults.stops, () => {
    const trainer = victim();
    trainer?.stop();
    world.after(random.between(20, 1500), () => trainer?.continue());
  });
  plan(faults.coordinatorStops, () => {
    const coordinator = random.pick(cluster.coordinators);
    coordinator.stop();
    world.after(random.between(20, 1500), () => coordinator.continue());
  });
  plan(faults.coordinatorKills, () => {
    const coordinator = random.pick(cluster.coordinators);
    if (!coordinator.alive) return;
    if (random.chance(0.3)) coordinator.receive({ kind: 'release' });
    else coordinator.alive = false;
    world.after(random.between(0, 1500), () => cluster.startCoordinator());
  });
  plan(faults.falseNotices, () => {
    const trainer = victim();
    if (trainer !== undefined) cluster.gone(trainer);
  });
  plan(faults.brokerLosses, () => world.brokerLosesEverything());

  // After the noise: at least one of each is there, and everybody must come to the end.
  world.after(noisyMs + 1600, () => {
    world.noisy = false;
    cluster.slowDisk = false;
    if (cluster.liveTrainers.every((trainer) => trainer.leaveAskedMs !== undefined)) cluster.startTrainer();
    if (cluster.liveCoordinators.length === 0) cluster.startCoordinator();
  });
  const end = cluster.oracle.boundaries.at(-1)!.head;
  const halts = end.step < scenario.steps;
  const done = (): boolean => {
    if (world.noisy) return false;
    const trainers = cluster.liveTrainers;
    const through = (process: { readonly finished: boolean; readonly halted: boolean }): boolean =>
      halts ? process.halted : process.finished;
    return (
      trainers.length > 0 &&
      trainers.every((t) => through(t) && t.machine.step === end.step) &&
      cluster.liveCoordinators.some((c) => c.machine.leading && through(c))
    );
  };
  if (!world.run(limitMs, done)) {
    const where = cluster.liveTrainers.map((trainer) => trainer.describe());
    const leads = cluster.liveCoordinators.map(
      (coordinator) => `${coordinator.id} ${coordinator.machine.leading ? 'leads' : 'stands by'}`,
    );
    throw new Violation(
      `liveness: not at the end after ${limitMs} ms: ${where.join(', ')}; ${leads.join(', ')}; checkpoints ${[...cluster.store.manifests.keys()].join()}`,
    );
  }
  for (const trainer of cluster.liveTrainers) {
    const different = trainer.finalDifference();
    if (different !== undefined) throw new Violation(`P1: at the end, ${different} of ${trainer.id}`);
  }
  for (const trainer of cluster.trainers)
    if (
      trainer.leaveAskedMs !== undefined &&
      trainer.alive &&
      world.nowMs > trainer.leaveAskedMs + timings.leaveMs + 1600
    )
      throw new Violation(`${trainer.id} was asked to leave at ${trainer.leaveAskedMs} and is still here`);
}
