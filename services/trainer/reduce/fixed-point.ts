/**
 * Gradients as fixed-point integers, so that their sum has no order (design section 7). A value g in a block of exponent e is the integer
 * round(g * 2^-e), half to even. Everything here is exact arithmetic on doubles: the same bits on every machine.
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
 * Largest absolute value of each block of a gradient; NaN for a block with a value that is not finite.
 * @param gradient [valueCount]
 * @param into [blockCount]
 */
export function blockMaxima(layout: Layout, gradient: Float32Array, into: Float32Array): void {
  const starts = layout.blockStarts;
  for (let block = 0; block < layout.blockCount; block++) {
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
 * Base exponents of the next step from the totals of this one, over all blocks: the smallest exponent at which the block's largest total,
 * {@link headRoomBits} higher, would be a lane value that fits. A function of the totals alone, so the same on every trainer.
 * @param sums [valueCount] totals
 * @param exponents [blockCount] of these totals
 * @param into [blockCount]; may be `exponents`
 */
export function nextExponents(
  layout: Layout,
  sums: Int32Array,
  exponents: Int8Array,
  limit: number,
  into: Int8Array,
): void {
  const starts = layout.blockStarts;
  for (let block = 0; block < layout.blockCount; block++) {
    let largest = 0;
    for (let i = starts[block]!, end = starts[block + 1]!; i < end; i++) {
      const value = sums[i]!;
      const magnitude = value < 0 ? -value : value;
      if (magnitude > largest) largest = magnitude;
    }
    let exponent = lowestExponent;
    if (largest > 0) {
      let room = largest * powerOfTwo(headRoomBits);
      exponent = exponents[block]!;
      for (; room > limit && exponent < highestExponent; room /= 2) exponent++;
      for (; room * 2 <= limit && exponent > lowestExponent; room *= 2) exponent--;
    }
    into[block] = exponent;
  }
}

/**
 * Mean gradient of the values of one block: sum * 2^exponent / M, as fp32.
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
  const scale = powerOfTwo(exponent) / laneCount;
  for (let i = start; i < end; i++) into[i - start] = sums[i]! * scale;
}
