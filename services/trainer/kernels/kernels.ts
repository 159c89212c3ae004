/** What a trainer does with whole arrays. Every implementation gives the bits of {@link plainKernels}. */
import type { AdamArrays, AdamUpdate, AverageUpdate } from '../optimizer/index.js';
import type { Layout } from '../reduce/index.js';

export interface UpdatedArrays extends AdamArrays {
  readonly ema: Float32Array;
}

/** Totals of a step and what they do to weights, moments and average. */
export interface StepUpdate {
  /** [valueCount] */
  readonly sums: Int32Array;
  /** [blockCount] */
  readonly exponents: Int8Array;
  /** M. */
  readonly laneCount: number;
  readonly adam: AdamUpdate;
  readonly average: AverageUpdate;
}

/** All ranges are whole blocks [firstBlock, endBlock) of a layout. */
export interface ArrayKernels {
  readonly name: 'plain' | 'simd';
  /** Zeros, where these kernels are fastest. */
  float32(length: number): Float32Array;
  int32(length: number): Int32Array;

  /**
   * Largest absolute value per block of a gradient; NaN for a block with a value that is not finite.
   * @param gradient [valueCount]
   * @param into [blockCount]
   */
  blockMaxima(layout: Layout, firstBlock: number, endBlock: number, gradient: Float32Array, into: Float32Array): void;

  /**
   * Adds the integers of one lane to `sums`. The caller has checked that every block fits.
   * @param exponents one per block, from index 0
   * @param sums `sums[sumsOffset]` belongs to the first value of `firstBlock`
   */
  addQuantised(
    layout: Layout,
    firstBlock: number,
    endBlock: number,
    gradient: Float32Array,
    exponents: Int8Array,
    sums: Int32Array,
    sumsOffset: number,
  ): void;

  /**
   * Mean gradient, Adam and average, in place.
   * @param largest [endBlock - firstBlock] receives each block's largest absolute total
   */
  update(
    layout: Layout,
    firstBlock: number,
    endBlock: number,
    arrays: UpdatedArrays,
    update: StepUpdate,
    largest: Uint32Array,
  ): void;
}
