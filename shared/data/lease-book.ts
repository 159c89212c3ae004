/** The leases a trainer holds, and what they let it read. Pure state, no I/O. */
import { ThawError } from '@thaw/shared/protocol';
import { sliceSegments } from './lanes.js';
import type { Lease, LeaseRead } from './lease.js';

/** What one lane reads at one step, and where. */
export interface LeasedReads {
  readonly epoch: number;
  readonly generation: number;
  readonly reads: readonly LeaseRead[];
}

/**
 * Leases of one generation only: those of a newer one take the place of all before, those of an older one are not taken.
 * So a trainer that slept through a change of plan cannot go on with what it had once the new leases are there.
 */
export class LeaseBook {
  readonly #microBatch: number;
  #generation = -1;
  #leases: Lease[] = [];

  constructor(microBatch: number) {
    this.#microBatch = microBatch;
  }

  /** Generation of the leases held; -1 before the first. */
  get generation(): number {
    return this.#generation;
  }

  get leases(): readonly Lease[] {
    return this.#leases;
  }

  /**
   * Takes leases of one generation. Returns false, and changes nothing, when they are of an older one.
   * @throws ThawError THAW_PROTOCOL_INVALID when a lease contradicts itself.
   */
  grant(generation: number, leases: readonly Lease[]): boolean {
    for (const lease of leases) {
      const samples = lease.reads.reduce((sum, read) => sum + read.count, 0);
      if (lease.generation !== generation || samples !== lease.stepCount * this.#microBatch)
        throw new ThawError(
          'THAW_PROTOCOL_INVALID',
          `A lease of lane ${lease.lane}, step ${lease.firstStep} (${lease.stepCount} steps, generation ${lease.generation}) names ${samples} samples in a hand-out of generation ${generation}; ` +
            `its steps need ${lease.stepCount * this.#microBatch}.`,
        );
    }
    if (generation < this.#generation) return false;
    const kept = generation === this.#generation ? this.#leases : [];
    const replaced = (old: Lease): boolean =>
      leases.some((lease) => lease.lane === old.lane && lease.epoch === old.epoch && lease.firstStep <= old.firstStep);
    this.#leases = [...kept.filter((old) => !replaced(old)), ...leases];
    this.#generation = generation;
    return true;
  }

  /** Takes back every lease of generations before `generation`: the plan has changed. */
  revokeBefore(generation: number): void {
    if (generation <= this.#generation) return;
    this.#generation = generation;
    this.#leases = [];
  }

  /** Forgets leases whose steps all lie before `step`. */
  forgetBefore(step: number): void {
    this.#leases = this.#leases.filter((lease) => lease.firstStep + lease.stepCount > step);
  }

  holds(lane: number, step: number): boolean {
    return this.#find(lane, step) !== undefined;
  }

  /** @throws ThawError THAW_DATA_NOT_LEASED when no lease covers the lane at the step. */
  readsOf(lane: number, step: number): LeasedReads {
    const lease = this.#find(lane, step);
    if (lease === undefined)
      throw new ThawError(
        'THAW_DATA_NOT_LEASED',
        `No lease of generation ${this.#generation} covers lane ${lane} at step ${step}.`,
        { details: { lane, step, generation: this.#generation } },
      );
    const reads = sliceSegments(lease.reads, (step - lease.firstStep) * this.#microBatch, this.#microBatch);
    return { epoch: lease.epoch, generation: lease.generation, reads };
  }

  /**
   * The first read of the lane after `step` that is of another shard than `shards`: what is worth fetching ahead.
   */
  nextShard(lane: number, step: number, shards: ReadonlySet<string>): LeaseRead | undefined {
    const later = this.#leases
      .filter((lease) => lease.lane === lane && lease.firstStep + lease.stepCount > step)
      .sort((a, b) => a.firstStep - b.firstStep);
    for (const lease of later) {
      const skip = Math.max(0, step - lease.firstStep) * this.#microBatch;
      for (const read of sliceSegments(lease.reads, skip, Infinity)) if (!shards.has(read.shard)) return read;
    }
    return undefined;
  }

  /** @throws ThawError THAW_DATA_NOT_LEASED unless some lease names exactly this shard object. */
  assertShard(shard: string, sha256: string): void {
    if (!this.#leases.some((lease) => lease.reads.some((read) => read.shard === shard && read.sha256 === sha256)))
      throw new ThawError('THAW_DATA_NOT_LEASED', `No lease names the shard ${shard} with SHA-256 ${sha256}.`, {
        details: { shard, sha256 },
      });
  }

  #find(lane: number, step: number): Lease | undefined {
    return this.#leases.find(
      (lease) => lease.lane === lane && step >= lease.firstStep && step < lease.firstStep + lease.stepCount,
    );
  }
}
