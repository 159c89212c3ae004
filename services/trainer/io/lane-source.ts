/** Samples for the lane runner: waits until a lease covers the lane, then reads through the leased shards. */
import { augmentBytes, type LeasedShards } from '@thaw/shared/data';
import type { LeaseMessage, RunConfig } from '@thaw/shared/protocol';

export class LaneSource {
  readonly #shards: LeasedShards;
  readonly #run: RunConfig;
  readonly #waiting = new Set<() => void>();

  constructor(shards: LeasedShards, run: RunConfig) {
    this.#shards = shards;
    this.#run = run;
  }

  /** Takes leases and lets lanes go on that waited for them. */
  hold(leases: readonly LeaseMessage[]): void {
    const generation = Math.max(...leases.map((lease) => lease.generation));
    if (leases.length > 0) this.#shards.grant(generation, leases);
    for (const wake of [...this.#waiting]) wake();
  }

  /** Steps below `step` will not be read again. */
  forget(step: number): void {
    this.#shards.forgetBefore(step);
  }

  /**
   * The images of a lane's micro-batch as the network trains on them, uint8 [micro, size, size, C], as soon as a lease covers it: cut at
   * random from larger stored images, and mirrored at random where the run file says so.
   * @throws ThawError THAW_DATA_CORRUPT, or what the store throws; rejects with the signal's reason when aborted
   */
  async images(lane: number, step: number, signal: AbortSignal): Promise<Uint8Array> {
    while (!this.#shards.holds(lane, step)) await this.#nextLease(signal);
    const { images, imageShape } = await this.#shards.read(lane, step);
    signal.throwIfAborted();
    const { seed, data } = this.#run;
    return augmentBytes({ images, shape: imageShape, size: data.size, flip: data.flip, seed, step, lane });
  }

  /** Reads nothing ahead any more and waits for what is under way. */
  close(): Promise<void> {
    return this.#shards.close();
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
