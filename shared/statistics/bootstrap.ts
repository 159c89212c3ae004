/** Intervals by resampling (B. Efron 1979). Pure: the draws come from the seed. */
import { RandomStream } from '@thaw/shared/runtime';

/** A score and where it lies in 95 % of the resamplings of the test images. */
export interface Interval {
  readonly value: number;
  readonly low: number;
  readonly high: number;
}

/** The units 0 .. count - 1 drawn with replacement, `resamplings` times; the same for every statistic, so that differences are paired. */
export function resample(count: number, resamplings: number, seed: number, lane = 0): Int32Array[] {
  const stream = new RandomStream(seed, 'evaluation', 0, lane);
  return Array.from({ length: resamplings }, () => Int32Array.from({ length: count }, () => stream.below(count)));
}

/** The middle 95 % of values. */
export function middle(values: readonly number[]): { low: number; high: number } {
  const sorted = Float64Array.from(values).sort();
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!;
  return { low: at(0.025), high: at(0.975) };
}

/**
 * The middle 95 % of values, moved so that their mean is `value`: for a statistic that is larger on every resampling, because a
 * resampling has fewer different images. Only the spread is the bootstrap's.
 */
export function centredInterval(value: number, values: readonly number[]): Interval {
  const mean = values.reduce((sum, other) => sum + other, 0) / values.length;
  const { low, high } = middle(values);
  return { value, low: low - mean + value, high: high - mean + value };
}
