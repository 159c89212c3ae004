/** Timers of a loop that end with it. */
import type { Clock, Timer } from '@thaw/shared/runtime';

export class Timers {
  readonly #clock: Clock;
  #timers: Timer[] = [];
  #stopped = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  every(periodMs: number, action: () => void): void {
    this.later(periodMs, () => {
      action();
      this.every(periodMs, action);
    });
  }

  later(delayMs: number, action: () => void): void {
    if (this.#stopped) return;
    const timer = this.#clock.setTimer(Math.max(1, delayMs), () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
      if (!this.#stopped) action();
    });
    this.#timers.push(timer);
  }

  stop(): void {
    this.#stopped = true;
    for (const timer of this.#timers) timer.cancel();
  }
}
