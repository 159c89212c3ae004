/** Virtual time, a network that loses, delays, doubles and reorders, and an object store that answers late or not at all. */
import type { Plan, StateHead } from '@thaw/shared/protocol';
import { Random } from './random.js';

/** A broken promise; ends the schedule. */
export class Violation extends Error {}

/** A schedule has a few thousand; more means that messages feed on each other. */
const maxEvents = 100_000;

interface Entry {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
}

export class World {
  readonly random: Random;
  nowMs = 0;
  /** While true, faults happen; afterwards the network is only slow. */
  noisy = true;
  lossRate = 0;
  duplicateRate = 0;
  /** Counts every event, so that a schedule without end is noticed. */
  events = 0;
  private order = 0;
  private readonly heap: Entry[] = [];
  /** Raised when the broker loses everything in flight. */
  private brokerLife = 0;

  constructor(seed: number) {
    this.random = new Random(seed);
  }

  after(delayMs: number, run: () => void): void {
    const { heap } = this;
    const entry = { atMs: this.nowMs + delayMs, order: this.order++, run };
    let i = heap.length;
    heap.push(entry);
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (before(heap[parent]!, entry)) break;
      heap[i] = heap[parent]!;
      i = parent;
    }
    heap[i] = entry;
  }

  /** Runs until `done` or the time is over; false when the time is over. */
  run(untilMs: number, done: () => boolean): boolean {
    for (;;) {
      const next = this.heap[0];
      if (next === undefined || next.atMs > untilMs) return done();
      this.pop();
      this.nowMs = next.atMs;
      if (++this.events > maxEvents) throw new Violation(`liveness: still busy after ${maxEvents} events`);
      next.run();
      if (this.events % 16 === 0 && done()) return true;
    }
  }
  private pop(): void {
    const { heap } = this;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
      if (!before(heap[child]!, last)) break;
      heap[i] = heap[child]!;
      i = child;
    }
    heap[i] = last;
  }

  brokerLosesEverything(): void {
    this.brokerLife++;
  }

  /** One delivery over the broker: perhaps lost, perhaps twice, at some time. */
  deliver(run: () => void): void {
    const { random } = this;
    if (this.noisy && random.chance(this.lossRate)) return;
    const life = this.brokerLife;
    const copies = this.noisy && random.chance(this.duplicateRate) ? 2 : 1;
    for (let i = 0; i < copies; i++) {
      const slow = random.chance(this.noisy ? 0.05 : 0.01);
      this.after(slow ? random.between(30, 400) : random.between(0, 12), () => {
        if (life === this.brokerLife) run();
      });
    }
  }
}

const before = (a: Entry, b: Entry): boolean => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);

export interface Manifest {
  readonly head: StateHead;
  readonly slices: readonly string[];
}

/** The object store: the plan object with compare-and-swap, blobs, manifests. */
export class Store {
  plan: { readonly plan: Plan; readonly etag: string } | undefined;
  readonly blobs = new Map<string, Uint8Array>();
  readonly manifests = new Map<number, Manifest>();
  private writes = 0;
  private readonly world: World;

  constructor(world: World) {
    this.world = world;
  }

  /** Runs after the store's latency; sometimes `fail` instead, before or after the operation was done. */
  private operate(operation: () => () => void, fail: () => void): void {
    const { world } = this;
    const { random } = world;
    const fails = world.noisy && random.chance(0.03);
    const doneAnyway = random.chance(0.5);
    world.after(random.chance(0.05) ? random.between(50, 300) : random.between(1, 15), () => {
      const answer = fails && !doneAnyway ? undefined : operation();
      world.after(random.between(0, 10), fails ? fail : answer!);
    });
  }

  read(answer: (found: Store['plan']) => void, fail: () => void): void {
    this.operate(() => {
      const found = this.plan;
      return () => answer(found);
    }, fail);
  }

  swap(
    plan: Plan,
    expectedEtag: string | undefined,
    answer: (swapped: boolean, etag: string | undefined) => void,
    fail: () => void,
  ): void {
    this.operate(() => {
      const { plan: stored } = this;
      if (stored?.etag !== expectedEtag) return () => answer(false, undefined);
      const before = stored?.plan;
      if (before !== undefined && plan.generation < before.generation)
        throw new Violation(`I3: plan ${before.generation} is replaced by ${plan.generation}`);
      if (
        before !== undefined &&
        plan.generation === before.generation &&
        JSON.stringify(plan.members) !== JSON.stringify(before.members)
      )
        throw new Violation(`I3: two plans of generation ${plan.generation}`);
      const etag = `e${++this.writes}`;
      this.plan = { plan, etag };
      return () => answer(true, etag);
    }, fail);
  }

  /** Slow work on the disk or the network of blobs. */
  later(slow: boolean, run: () => void): void {
    const { random } = this.world;
    this.world.after(slow ? random.between(200, 3000) : random.between(1, 60), run);
  }
}
