/** Simulated processes around the two machines: what their shells do, without threads, sockets and files. */
import { Coordinator, type CoordinatorEffect, type CoordinatorEvent } from '@thaw/coordinator';
import {
  AnnouncementSchema,
  HeartbeatAnswerSchema,
  HeartbeatSchema,
  lanesOf,
  sha256Hex,
  StepReportSchema,
  type HeartbeatAnswer,
  type LeaseMessage,
} from '@thaw/shared/protocol';
import {
  emptyArrays,
  initialState,
  Trainer,
  type TrainerEffect,
  type TrainerEvent,
  type TrainerOptions,
  type TrainingArrays,
} from '@thaw/trainer';
import type { Cluster } from './cluster.js';
import { difference, placeSlice, run, sliceBytes, timings, trainerOptions } from './oracle.js';
import { fillGradient, initialWeights, lossOf } from './toy-model.js';
import { Violation } from './world.js';

/** A process that can be killed, and stopped and continued: stopped, everything waits for it. */
class Process {
  readonly cluster: Cluster;
  alive = true;
  private stopped = false;
  private readonly waiting: (() => void)[] = [];

  constructor(cluster: Cluster) {
    this.cluster = cluster;
  }
  /** Runs something in the process: at once, when it is continued, or never. */
  protected inside(work: () => void): void {
    if (!this.alive) return;
    if (this.stopped) this.waiting.push(work);
    else work();
  }
  protected later(delayMs: number, work: () => void): void {
    this.cluster.world.after(delayMs, () => this.inside(work));
  }
  protected every(intervalMs: number, work: () => void): void {
    const again = (): void => {
      if (!this.alive) return;
      this.inside(work);
      this.cluster.world.after(intervalMs, again);
    };
    this.cluster.world.after(this.cluster.world.random.between(0, intervalMs), again);
  }
  stop(): void {
    this.stopped = true;
  }
  continue(): void {
    this.stopped = false;
    for (const work of this.waiting.splice(0)) this.inside(work);
  }
}

interface RunningLane {
  cancelled: boolean;
}

export class TrainerProcess extends Process {
  readonly id: string;
  readonly options: TrainerOptions;
  readonly machine: Trainer;
  finished = false;
  halted = false;
  leaveAskedMs: number | undefined;
  /** Highest boundary it has held. */
  boundary = -1;
  appliedLanes = 0;
  private readonly arrays: TrainingArrays;
  private readonly slowness: number;
  private busyUntilMs = 0;
  private leases: LeaseMessage[] = [];
  private waitingLanes: { readonly step: number; readonly lane: number }[] = [];
  private readonly running = new Map<string, RunningLane>();
  private readonly computed = new Set<string>();
  private copy: { readonly step: number; readonly arrays: TrainingArrays } | undefined;

  constructor(cluster: Cluster, id: string) {
    super(cluster);
    this.id = id;
    this.arrays = emptyArrays(cluster.scenario.layout);
    // Some trainers change their state a few values at a time, with other events in between.
    const sliceValues = cluster.world.random.chance(0.2) ? cluster.world.random.between(2, 60) : 1000;
    this.options = { ...trainerOptions(cluster.scenario, id, this.arrays), sliceValues };
    this.machine = cluster.makeTrainer(this.options);
    const slow = cluster.trainers.length === 0 ? cluster.firstSlowness : 1;
    this.slowness = slow * cluster.world.random.between(1, 3);
    this.later(0, () => this.handle({ kind: 'start' }));
    this.every(timings.heartbeatMs / 4, () => this.handle({ kind: 'tick' }));
  }

  receive(event: TrainerEvent): void {
    this.inside(() => this.handle(event));
  }
  leave(): void {
    this.leaveAskedMs = this.cluster.world.nowMs;
    this.receive({ kind: 'leave' });
  }

  private handle(event: TrainerEvent): void {
    const effects = this.machine.handle(event, this.cluster.world.nowMs);
    // The arrays are what the last change of state has left.
    const last = effects.findLast(({ kind }) => kind === 'stateTaken' || kind === 'stepApplied');
    for (const effect of effects) this.perform(effect, effect === last && !this.machine.changing);
  }

  private perform(effect: TrainerEffect, arraysAreThere: boolean): void {
    const { cluster } = this;
    const { world, store } = cluster;
    switch (effect.kind) {
      case 'computeLane': {
        const key = `${effect.step}/${effect.lane}`;
        if (this.computed.has(key))
          throw new Violation(`P3: ${this.id} computes lane ${effect.lane} of step ${effect.step} again`);
        this.waitingLanes.push(effect);
        return this.startLanes();
      }
      case 'cancelLane':
        return this.cancel((step, lane) => step === effect.step && lane === effect.lane);
      case 'cancelLanes':
        return this.cancel((step) => step <= effect.step);
      case 'releaseGradient':
        // Whoever still reads it sees nonsense.
        effect.gradient.fill(NaN);
        return;
      case 'sendFrame':
        return cluster.sendFrame(this, effect.to, effect.parts);
      case 'heartbeat':
        return cluster.heartbeat(this, cluster.recode(HeartbeatSchema, effect.message));
      case 'stepReport':
        return cluster.toCoordinators(() => ({
          kind: 'stepReport',
          message: cluster.recode(StepReportSchema, effect.message),
        }));
      case 'readPlan':
        return store.read(
          (found) => this.receive({ kind: 'planRead', plan: found?.plan }),
          () => this.receive({ kind: 'planRead', plan: undefined }),
        );
      case 'loadState':
        return this.later(world.random.between(1, 100), () => this.load());
      case 'copyState':
        this.copy = { step: effect.head.step, arrays: effect.arrays };
        cluster.checkState(effect.head, this.copy.arrays, `copy of ${this.id}`);
        return;
      case 'continue':
        return this.later(world.random.between(0, 3), () => this.handle({ kind: 'continue' }));
      case 'dropCopy':
        if (this.copy?.step === effect.step) this.copy = undefined;
        return;
      case 'writeSlice':
      case 'digestSlice':
        return this.slice(effect);
      case 'holdLeases':
        this.leases = [...effect.leases];
        return this.startLanes();
      case 'planAdopted': {
        this.leases = this.leases.filter((lease) => effect.lanes.includes(lease.lane));
        return;
      }
      case 'stateTaken':
        if (effect.from === 'snapshot') cluster.seen.snapshot++;
        else if (effect.head.step > 0) cluster.seen.checkpointLoaded++;
        this.boundary = Math.max(this.boundary, effect.head.step);
        return cluster.checkState(
          effect.head,
          arraysAreThere ? this.arrays : undefined,
          `${this.id} from a ${effect.from}`,
        );
      case 'stepApplied': {
        this.boundary = Math.max(this.boundary, effect.head.step);
        this.appliedLanes += lanesOf({ members: this.machine.plan?.members ?? [] }, this.id).length;
        cluster.checkResult(effect.result);
        return cluster.checkState(effect.head, arraysAreThere ? this.arrays : undefined, this.id);
      }
      case 'alarm':
        // Slices fail on purpose; everything else must not happen.
        if (effect.code === 'THAW_INTERNAL' || (effect.code === 'THAW_PROTOCOL_INVALID' && cluster.hostile)) return;
        throw new Violation(`${this.id}: alarm ${effect.code}: ${effect.message}`);
      case 'finished':
        this.finished = true;
        return;
      case 'halted':
        this.halted = true;
        return;
      case 'refused':
        throw new Violation(`${this.id} is refused: ${effect.message}`);
      case 'left':
        this.alive = false;
        if (this.leaveAskedMs === undefined) throw new Violation(`${this.id} left unasked`);
        cluster.gone(this);
        return;
    }
  }

  private cancel(matches: (step: number, lane: number) => boolean): void {
    this.waitingLanes = this.waitingLanes.filter(({ step, lane }) => !matches(step, lane));
    for (const [key, lane] of this.running) {
      const [step, number] = key.split('/').map(Number);
      if (matches(step!, number!)) lane.cancelled = true;
    }
  }

  /** A worker reads the live weights while it computes: half of the gradient at the beginning, half at the end. */
  private startLanes(): void {
    const { scenario, world } = this.cluster;
    const ready = this.waitingLanes.filter((wanted) =>
      this.leases.some(
        (l) => l.lane === wanted.lane && l.firstStep <= wanted.step && wanted.step < l.firstStep + l.stepCount,
      ),
    );
    this.waitingLanes = this.waitingLanes.filter((wanted) => !ready.includes(wanted));
    for (const { step, lane } of ready) {
      const key = `${step}/${lane}`;
      const running: RunningLane = { cancelled: false };
      this.running.set(key, running);
      const gradient = new Float32Array(scenario.layout.valueCount);
      const half = gradient.length >> 1;
      const { weights } = this.arrays;
      fillGradient(scenario, weights, step, lane, 0, half, gradient);
      const loss = lossOf(weights, step, lane);
      const computeMs = this.slowness * world.random.between(4, 40);
      const fails = world.noisy && world.random.chance(0.01);
      // One lane after the other, on one worker.
      this.busyUntilMs = Math.max(this.busyUntilMs, world.nowMs) + computeMs;
      this.later(this.busyUntilMs - world.nowMs, () => {
        if (this.running.get(key) === running) this.running.delete(key);
        if (running.cancelled && world.random.chance(0.7)) return;
        if (fails) return this.handle({ kind: 'laneFailed', step, lane, message: 'the worker died' });
        fillGradient(scenario, weights, step, lane, half, gradient.length, gradient);
        if (running.cancelled) this.cluster.seen.lateResult++;
        else this.computed.add(key);
        this.handle({ kind: 'laneDone', step, lane, loss, gradient, computeMs });
      });
    }
  }

  private load(): void {
    const { store, scenario, world } = this.cluster;
    if (world.noisy && world.random.chance(0.1))
      return this.handle({ kind: 'stateLoadFailed', message: 'the store is away' });
    const newest = Math.max(-1, ...store.manifests.keys());
    const manifest = store.manifests.get(newest);
    const arrays = emptyArrays(scenario.layout);
    if (manifest === undefined)
      return this.handle({
        kind: 'stateLoaded',
        state: initialState(run, initialWeights(scenario.layout), scenario.layout.blockCount),
      });
    manifest.slices.forEach((sha256, slice) =>
      placeSlice(store.blobs.get(sha256)!, arrays, slice, scenario.sliceCount),
    );
    this.handle({ kind: 'stateLoaded', state: { head: manifest.head, arrays } });
  }

  private slice(effect: Extract<TrainerEffect, { kind: 'writeSlice' | 'digestSlice' }>): void {
    const { store, scenario, world } = this.cluster;
    const { step, slice } = effect;
    if (this.copy?.step !== step) throw new Violation(`${this.id} has no copy of step ${step}`);
    const bytes = sliceBytes(this.copy.arrays, slice, scenario.sliceCount);
    const sha256 = sha256Hex(bytes);
    const fails = world.noisy && world.random.chance(0.05);
    store.later(this.cluster.slowDisk, () =>
      this.inside(() => {
        if (fails) return this.handle({ kind: 'sliceFailed', step, slice, message: 'the disk is full' });
        if (effect.kind === 'digestSlice')
          return this.handle({ kind: 'sliceDigested', step, slice, sha256, bytes: bytes.length });
        store.blobs.set(sha256, bytes);
        this.handle({ kind: 'sliceWritten', step, slice, sha256, bytes: bytes.length, readBack: effect.readBack });
      }),
    );
  }

  /** Where it stands, for the message of a schedule without end. */
  describe(): string {
    const { plan, step } = this.machine;
    const lanes = lanesOf({ members: plan?.members ?? [] }, this.id);
    const waiting = this.waitingLanes.map(({ step: of, lane }) => `${of}/${lane}`);
    return `${this.id} at ${step} gen ${plan?.generation} lanes ${lanes.join()} waiting ${waiting.join()} leased ${this.leases.map((l) => `${l.lane}:${l.firstStep}+${l.stepCount}`).join()}`;
  }

  /** How it compares with the oracle at the end. */
  finalDifference(): string | undefined {
    const boundary = this.cluster.oracle.boundaries.at(-1)!;
    return this.machine.step === boundary.head.step
      ? difference(this.arrays, boundary.arrays)
      : `it is at step ${this.machine.step}`;
  }
}

export class CoordinatorProcess extends Process {
  readonly id: string;
  readonly machine: Coordinator;
  finished = false;
  halted = false;
  lastTold = -1;

  constructor(cluster: Cluster, id: string) {
    super(cluster);
    this.id = id;
    const { scenario } = cluster;
    const horizon = (step: number): number => (Math.floor(step / scenario.stepsPerEpoch) + 2) * scenario.stepsPerEpoch;
    const committed = Math.max(-1, ...cluster.store.manifests.keys());
    this.machine = new Coordinator({
      run,
      id,
      timings,
      laneCount: scenario.laneCount,
      steps: scenario.steps,
      sliceCount: scenario.sliceCount,
      committedStep: committed < 0 ? null : committed,
      leaseHorizon: horizon,
      leasesFor: (lanes, fromStep, generation) => ({
        throughStep: horizon(fromStep),
        leases: lanes.map((lane) => ({
          epoch: Math.floor(fromStep / scenario.stepsPerEpoch),
          lane,
          firstStep: fromStep,
          stepCount: horizon(fromStep) - fromStep,
          generation,
          reads: [],
        })),
      }),
    });
    this.later(0, () => this.handle({ kind: 'start' }));
    this.every(timings.heartbeatMs / 4, () => this.handle({ kind: 'tick' }));
  }

  receive(event: CoordinatorEvent, answer?: (answer: HeartbeatAnswer) => void): void {
    this.inside(() => this.handle(event, answer));
  }

  private handle(event: CoordinatorEvent, answer?: (answer: HeartbeatAnswer) => void): void {
    for (const effect of this.machine.handle(event, this.cluster.world.nowMs)) this.perform(effect, answer);
  }

  private perform(effect: CoordinatorEffect, answer?: (answer: HeartbeatAnswer) => void): void {
    const { cluster } = this;
    const { store } = cluster;
    switch (effect.kind) {
      case 'readPlan':
        return store.read(
          (found) => this.receive({ kind: 'planRead', found }),
          () => this.receive({ kind: 'planFailed', message: 'away' }),
        );
      case 'swapPlan':
        return store.swap(
          effect.plan,
          effect.expectedEtag,
          (swapped, etag) => this.receive({ kind: 'planSwapped', swapped, etag }),
          () => this.receive({ kind: 'planFailed', message: 'away' }),
        );
      case 'announce':
        return cluster.toTrainers(() => ({
          kind: 'announcement',
          announcement: cluster.recode(AnnouncementSchema, effect.announcement),
        }));
      case 'answer':
        answer?.(cluster.recode(HeartbeatAnswerSchema, effect.answer));
        return;
      case 'handLeases': {
        const { handOut } = effect;
        cluster.toTrainer(handOut.to, { kind: 'leases', handOut });
        return;
      }
      case 'commitManifest': {
        const slices = effect.slices.map(({ sha256 }) => sha256);
        cluster.checkManifest(effect.head, slices);
        const { world } = cluster;
        const fails = world.noisy && world.random.chance(0.1);
        store.later(false, () => {
          if (!fails || world.random.chance(0.5))
            if (!store.manifests.has(effect.head.step))
              store.manifests.set(effect.head.step, { head: effect.head, slices });
          this.receive(
            fails
              ? { kind: 'manifestFailed', step: effect.head.step, message: 'away' }
              : { kind: 'manifestCommitted', step: effect.head.step },
          );
        });
        return;
      }
      case 'lead':
        if (effect.epoch > 1) cluster.seen.takeover++;
        return;
      case 'planChanged':
        if (effect.reason.startsWith('lanes by speed')) cluster.seen.balanced++;
        return;
      case 'stepKnown':
        if (effect.result.step <= this.lastTold)
          throw new Violation(`step ${effect.result.step} is told after ${this.lastTold}`);
        this.lastTold = effect.result.step;
        return cluster.checkResult(effect.result);
      case 'finished':
        this.finished = true;
        return;
      case 'halted':
        this.halted = true;
        return;
      case 'alarm':
        throw new Violation(`${this.id}: alarm ${effect.code}: ${effect.message}`);
      case 'trainerRefused':
        throw new Violation(`${effect.id} is refused: ${effect.message}`);
      case 'released':
        this.alive = false;
        return;
      default:
        return;
    }
  }
}
