/** How many rows a second leave the queue, measured over a sliding window. */

export interface DrainRate {
  /** Times at which rows were finished, ascending, not older than the window. */
  readonly finishedMs: readonly number[];
}

export const drainWindowMs = 10_000;
const maxSamples = 512;

export const noDrain: DrainRate = { finishedMs: [] };

/** The rate after one more row was finished. */
export function rowFinished(rate: DrainRate, nowMs: number): DrainRate {
  const kept = rate.finishedMs.filter((at) => at > nowMs - drainWindowMs);
  return { finishedMs: [...kept, nowMs].slice(-maxSamples) };
}

/** Rows per second, or undefined while nothing was finished within the window. */
export function rowsPerSecond(rate: DrainRate, nowMs: number): number | undefined {
  const recent = rate.finishedMs.filter((at) => at > nowMs - drainWindowMs);
  if (recent.length === 0) return undefined;
  return (recent.length * 1000) / Math.max(1000, nowMs - recent[0]!);
}
