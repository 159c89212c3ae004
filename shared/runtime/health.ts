/** Health that means something: named checks with reasons, over progress that was really made. */

export interface CheckResult {
  readonly ok: boolean;
  /** One sentence for a person; always given when not ok. */
  readonly reason?: string;
}
/** Pure: looks at recorded facts and the time it is given (the process's monotonic clock). */
export type Check = (nowMs: number) => CheckResult;

/** live: a failing check means the process should be restarted. ready: it should get no work at present. */
export type CheckKind = 'live' | 'ready';

export interface HealthReport {
  readonly live: boolean;
  readonly ready: boolean;
  readonly checks: readonly {
    readonly name: string;
    readonly kind: CheckKind;
    readonly ok: boolean;
    readonly reason?: string;
  }[];
}

/** The checks of a process. Live when every live check passes; ready when all checks do. */
export class Health {
  readonly #checks = new Map<string, { kind: CheckKind; check: Check }>();

  /** Adds or replaces the check `name`. */
  register(name: string, kind: CheckKind, check: Check): void {
    this.#checks.set(name, { kind, check });
  }

  remove(name: string): void {
    this.#checks.delete(name);
  }

  report(nowMs: number): HealthReport {
    const checks = [...this.#checks].map(([name, { kind, check }]) => {
      const { ok, reason } = check(nowMs);
      return reason === undefined ? { name, kind, ok } : { name, kind, ok, reason };
    });
    const passes = (kind: CheckKind): boolean => checks.every((check) => check.kind !== kind || check.ok);
    return { live: passes('live'), ready: passes('live') && passes('ready'), checks };
  }
}

/** A thing that should keep happening: a training step, a poll. Not expected to while {@link pause}d. */
export class Progress {
  readonly #what: string;
  readonly #limitMs: number;
  #sinceMs: number;
  #pausedWhy: string | undefined;

  /** @param what completes the sentence "... for 12.0 s", for example "No step was completed". */
  constructor(options: { what: string; limitMs: number; nowMs: number }) {
    this.#what = options.what;
    this.#limitMs = options.limitMs;
    this.#sinceMs = options.nowMs;
  }

  /** It happened. Ends a pause. */
  mark(nowMs: number): void {
    this.#sinceMs = nowMs;
    this.#pausedWhy = undefined;
  }

  /** It need not happen now, because of `why` ("the run is complete"). */
  pause(why: string): void {
    this.#pausedWhy = why;
  }

  /** It is expected again from now on. */
  resume(nowMs: number): void {
    this.mark(nowMs);
  }

  readonly check: Check = (nowMs) => {
    if (this.#pausedWhy !== undefined) return { ok: true, reason: this.#pausedWhy };
    const idleMs = nowMs - this.#sinceMs;
    if (idleMs <= this.#limitMs) return { ok: true };
    return { ok: false, reason: `${this.#what} for ${seconds(idleMs)} (limit ${seconds(this.#limitMs)}).` };
  };
}

/**
 * Whether the event loop turns. A regular beat records how late it comes; a stall is still seen for `windowMs` after the
 * loop has recovered, since a health request can only be answered then.
 */
export class EventLoopProgress {
  readonly #intervalMs: number;
  readonly #limitMs: number;
  readonly #windowMs: number;
  #lastBeatMs: number;
  #stall: { lateMs: number; atMs: number } | undefined;

  constructor(options: { intervalMs: number; limitMs: number; windowMs: number; nowMs: number }) {
    this.#intervalMs = options.intervalMs;
    this.#limitMs = options.limitMs;
    this.#windowMs = options.windowMs;
    this.#lastBeatMs = options.nowMs;
  }

  beat(nowMs: number): void {
    const lateMs = nowMs - this.#lastBeatMs - this.#intervalMs;
    if (lateMs > this.#limitMs) this.#stall = { lateMs, atMs: nowMs };
    this.#lastBeatMs = nowMs;
  }

  readonly check: Check = (nowMs) => {
    const lateMs = nowMs - this.#lastBeatMs - this.#intervalMs;
    if (lateMs > this.#limitMs) return { ok: false, reason: `The event loop has not turned for ${seconds(lateMs)}.` };
    const stall = this.#stall;
    if (stall !== undefined && nowMs - stall.atMs <= this.#windowMs)
      return {
        ok: false,
        reason: `The event loop stood still for ${seconds(stall.lateMs)}, ${seconds(nowMs - stall.atMs)} ago.`,
      };
    return { ok: true };
  };
}

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
