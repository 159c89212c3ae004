/** The clock as a port: decisions are given a time, and only edges read one. */

/** A pending call. */
export interface Timer {
  /** Prevents the call; does nothing when it has happened already. */
  cancel(): void;
}

export interface Clock {
  /** Monotonic milliseconds from an arbitrary origin; never goes back. For durations and deadlines. */
  nowMs(): number;
  /** Milliseconds since 1970-01-01 UTC. For records people read; may jump. */
  wallTimeMs(): number;
  /** Calls `fn` once, not earlier than `delayMs` from now. */
  setTimer(delayMs: number, fn: () => void): Timer;
}

/** Node's timers treat longer delays as zero. */
const longestDelayMs = 2 ** 31 - 1;

/** The clock of this machine. Its timers keep the process alive until they fire or are cancelled. */
export const systemClock: Clock = {
  nowMs: () => performance.now(),
  wallTimeMs: () => Date.now(),
  setTimer(delayMs, fn) {
    const handle = setTimeout(fn, Math.min(Math.max(0, delayMs), longestDelayMs));
    return { cancel: () => clearTimeout(handle) };
  },
};

/** Resolves after `delayMs` of `clock`; rejects with the signal's reason when it aborts first. */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const onAbort = (): void => {
      timer.cancel();
      reject(signal?.reason);
    };
    const timer = clock.setTimer(delayMs, () => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    });
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}
