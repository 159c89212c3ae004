/** Samples for the lane runner: waits until leases cover the lane, then reads through the leased shards. */
import { augmentBytes, type LeasedShards } from '@thaw/shared/data';
import type { TrainingImages } from '@thaw/shared/diffusion';
import type { LeaseMessage, RunConfig } from '@thaw/shared/protocol';

export class LaneSource {
  readonly #shards: LeasedShards;
  readonly #partners: LeasedShards | undefined;
  readonly #run: RunConfig;
  readonly #waiting = new Set<() => void>();

  /** @param partners of the set whose pictures the images are mixed with, if the degradation has one */
  constructor(shards: LeasedShards, run: RunConfig, partners?: LeasedShards) {
    this.#shards = shards;
    this.#partners = partners;
    this.#run = run;
  }

  /** Takes leases and lets lanes go on that waited for them. */
  hold(leases: readonly LeaseMessage[]): void {
    const generation = Math.max(...leases.map((lease) => lease.generation));
    if (leases.length > 0) for (const shards of this.#sets) shards.grant(generation, leases);
    for (const wake of [...this.#waiting]) wake();
  }

  /** Steps below `step` will not be read again. */
  forget(step: number): void {
    for (const shards of this.#sets) shards.forgetBefore(step);
  }

  /**
   * The images of a lane's micro-batch as the network trains on them, as soon as leases cover it, cut from the stored ones and mirrored
   * as the run file says; and the pictures that they are mixed with, cut likewise by draws of their own.
   * @throws ThawError THAW_DATA_CORRUPT, or what the store throws; rejects with the signal's reason when aborted
   */
  async read(lane: number, step: number, signal: AbortSignal): Promise<TrainingImages> {
    while (!this.#sets.every((shards) => shards.holds(lane, step))) await this.#nextLease(signal);
    const [images, partners] = await Promise.all([
      this.#cut(this.#shards, 'augment', lane, step),
      this.#partners && this.#cut(this.#partners, 'partner-augment', lane, step),
    ]);
    signal.throwIfAborted();
    return partners === undefined ? { images } : { images, partners };
  }

  /** Reads nothing ahead any more and waits for what is under way. */
  async close(): Promise<void> {
    await Promise.all(this.#sets.map((shards) => shards.close()));
  }

  get #sets(): LeasedShards[] {
    return this.#partners === undefined ? [this.#shards] : [this.#shards, this.#partners];
  }

  async #cut(
    shards: LeasedShards,
    purpose: 'augment' | 'partner-augment',
    lane: number,
    step: number,
  ): Promise<Uint8Array> {
    const { images, imageShape: shape } = await shards.read(lane, step);
    const { seed, data } = this.#run;
    const { size, flip, augment: method } = data;
    return augmentBytes({ images, shape, size, flip, method, purpose, seed, step, lane });
  }

  #nextLease(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const done = (): void => {
        this.#waiting.delete(done);
        signal.removeEventListener('abort', done);
        if (signal.aborted) reject(signal.reason as Error);
        else resolve();
      };
      this.#waiting.add(done);
      signal.addEventListener('abort', done);
      if (signal.aborted) done();
    });
  }
}
