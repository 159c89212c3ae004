/**
 * Gradients as fixed-point integers, so that their sum has no order (design section 7). A value g in a block of exponent e is the integer
 * round(g * 2^-e), half to even. Everything here is exact arithmetic, or single fp32 operations: the same bits on every machine.
 */
import type { Layout } from './layout.js';

/** Smallest exponent: where step 0 starts, and what a block without any gradient gets. Finer than any normal fp32 gradient needs. */
export const lowestExponent = -128;
const highestExponent = 127;
/** A base exponent leaves this many bits above the largest total of the step before. */
export const headRoomBits = 4;

const powers = new Float64Array(2 * 160 + 1);
powers[160] = 1;
for (let k = 1; k <= 160; k++) {
  powers[160 + k] = powers[160 + k - 1]! * 2;
  powers[160 - k] = powers[160 - k + 1]! / 2;
}
/** 2^k for -160 <= k <= 160, exact. */
export const powerOfTwo = (k: number): number => powers[160 + k]!;

// Adding and subtracting 1.5 * 2^52 rounds a double of magnitude below 2^51 to an integer, half to even. Larger ones never fit anyway.
const rounder = 1.5 * 2 ** 52;

/** Largest |integer| of one lane value, so that the sum of M lanes stays within int32. */
export const laneLimit = (laneCount: number): number => Math.floor((2 ** 31 - 1) / laneCount);

/**
 * Largest absolute value of the blocks [firstBlock, endBlock) of a gradient; NaN for a block with a value that is not finite.
 * @param gradient [valueCount]
 * @param into [blockCount]
 */
export function blockMaxima(
  layout: Layout,
  firstBlock: number,
  endBlock: number,
  gradient: Float32Array,
  into: Float32Array,
): void {
  const starts = layout.blockStarts;
  for (let block = firstBlock; block < endBlock; block++) {
    let largest = 0;
    let poison = 0;
    for (let i = starts[block]!, end = starts[block + 1]!; i < end; i++) {
      const value = gradient[i]!;
      const magnitude = value < 0 ? -value : value;
      if (magnitude > largest) largest = magnitude;
      poison += value * 0;
    }
    into[block] = poison === 0 ? largest : NaN;
  }
}

/** Whether a block whose largest absolute value is `largest` fits at an exponent: |q| <= limit for every value (rounding is monotone). */
export const fits = (largest: number, exponent: number, limit: number): boolean =>
  largest * powerOfTwo(-exponent) + rounder - rounder <= limit;

/** Smallest exponent, not below `base`, at which a finite block fits. */
export function neededExponent(largest: number, base: number, limit: number): number {
  let exponent = base;
  while (exponent < highestExponent && !fits(largest, exponent, limit)) exponent++;
  return exponent;
}

/**
 * Adds the integers of the values [start, end) of one lane to `sums`. The caller has checked that every block fits.
 * @param exponents one per block, `exponents[i]` for block `firstBlock + i`
 * @param sums `sums[sumsOffset]` belongs to the first value of `firstBlock`
 */
export function addQuantised(
  layout: Layout,
  firstBlock: number,
  endBlock: number,
  gradient: Float32Array,
  exponents: Int8Array,
  sums: Int32Array,
  sumsOffset: number,
): void {
  const starts = layout.blockStarts;
  const shift = sumsOffset - starts[firstBlock]!;
  for (let block = firstBlock; block < endBlock; block++) {
    const scale = powerOfTwo(-exponents[block - firstBlock]!);
    for (let i = starts[block]!, end = starts[block + 1]!; i < end; i++)
      sums[i + shift] = (sums[i + shift]! + (gradient[i]! * scale + rounder - rounder)) | 0;
  }
}

/**
 * Base exponent of a block in the next step from its totals in this one: the smallest at which the largest total, {@link headRoomBits}
 * higher, would be a lane value that fits. A function of the totals alone, so the same on every trainer.
 * @param largest absolute total of the block
 * @param exponent of these totals
 */
export function nextExponent(largest: number, exponent: number, limit: number): number {
  if (largest === 0) return lowestExponent;
  let room = largest * powerOfTwo(headRoomBits);
  for (; room > limit && exponent < highestExponent; room /= 2) exponent++;
  for (; room * 2 <= limit && exponent > lowestExponent; room *= 2) exponent--;
  return exponent;
}

/** Largest absolute value of `sums[start..end)`, at most 2^31. */
export function largestTotal(sums: Int32Array, start: number, end: number): number {
  let largest = 0;
  for (let i = start; i < end; i++) {
    const value = sums[i]!;
    const magnitude = value < 0 ? -value : value;
    if (magnitude > largest) largest = magnitude;
  }
  return largest;
}

/** Value of one unit of a total in the mean gradient of M lanes: 2^exponent / M, as fp32. */
export const meanScale = (exponent: number, laneCount: number): number => Math.fround(powerOfTwo(exponent) / laneCount);

/**
 * Mean gradient of the values of one block: the total as fp32, times {@link meanScale}, in fp32 operations.
 * @param into written from index 0
 */
export function dequantiseBlock(
  sums: Int32Array,
  start: number,
  end: number,
  exponent: number,
  laneCount: number,
  into: Float32Array,
): void {
  const scale = meanScale(exponent, laneCount);
  for (let i = start; i < end; i++) into[i - start] = Math.fround(Math.fround(sums[i]!) * scale);
}
