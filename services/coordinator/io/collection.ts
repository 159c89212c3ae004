/** Removal of what is old: now and then, one at a time. */
import type { Clock } from '@thaw/shared/runtime';

export class Collection {
  readonly #clock: Clock;
  readonly #collect: () => Promise<void>;
  #nextMs = -Infinity;
  #running: Promise<void> | undefined;
  #stopped = false;

  /** @param collect must not reject */
  constructor(clock: Clock, collect: () => Promise<void>) {
    this.#clock = clock;
    this.#collect = collect;
  }

  /** Begins, unless a collection is under way or the last one asked for a pause that is not over; asks for a pause in turn. */
  begin(pauseMs: number): void {
    const nowMs = this.#clock.nowMs();
    if (this.#stopped || this.#running !== undefined || nowMs < this.#nextMs) return;
    this.#nextMs = nowMs + pauseMs;
    this.#running = this.#collect().finally(() => (this.#running = undefined));
  }

  /** Resolves when no collection is under way; none is begun any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.idle();
  }

  /** Resolves when no collection is under way. */
  async idle(): Promise<void> {
    await this.#running;
  }
}
