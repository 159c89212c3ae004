/** Those who wait until something of a job changes. */
import type { Clock } from '@thaw/shared/runtime';

export class Watchers {
  readonly #clock: Clock;
  readonly #waiting = new Map<string, Set<() => void>>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Resolves at the next {@link wake} of `job`, or after `timeoutMs`. */
  wait(job: string, timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const waiting = this.#waiting.get(job) ?? new Set();
      this.#waiting.set(job, waiting);
      const done = (): void => {
        timer.cancel();
        waiting.delete(done);
        if (waiting.size === 0 && this.#waiting.get(job) === waiting) this.#waiting.delete(job);
        resolve();
      };
      const timer = this.#clock.setTimer(timeoutMs, done);
      waiting.add(done);
    });
  }

  wake(job: string): void {
    for (const done of [...(this.#waiting.get(job) ?? [])]) done();
  }

  wakeAll(): void {
    for (const job of [...this.#waiting.keys()]) this.wake(job);
  }
}
