/** How long to wait before a process that died is started again: at once the first time, then longer and longer. Pure. */
const firstDelayMs = 1000;
const longestDelayMs = 30_000;
/** A process that lived so long starts with a clean record. */
const forgetAfterMs = 60_000;

export class RestartBackoff {
  readonly #deaths = new Map<string, { count: number; atMs: number }>();

  /** Called at each death. */
  delayMs(name: string, nowMs: number): number {
    const last = this.#deaths.get(name);
    const count = last === undefined || nowMs - last.atMs > forgetAfterMs ? 0 : last.count + 1;
    this.#deaths.set(name, { count, atMs: nowMs });
    return count === 0 ? 0 : Math.min(longestDelayMs, firstDelayMs * 2 ** (count - 1));
  }
}
