/** The definition: one value after the other. Slow for large networks; what the SIMD kernels are compared with. */
import { adamRange, averageRange } from '../optimizer/index.js';
import { addQuantised, blockMaxima, dequantiseBlock, largestTotal, type Layout } from '../reduce/index.js';
import type { ArrayKernels, StepUpdate, UpdatedArrays } from './kernels.js';

export const plainKernels: ArrayKernels = {
  name: 'plain',
  float32: (length) => new Float32Array(length),
  int32: (length) => new Int32Array(length),
  blockMaxima,
  addQuantised,
  update(
    layout: Layout,
    firstBlock: number,
    endBlock: number,
    arrays: UpdatedArrays,
    { sums, exponents, laneCount, adam, average }: StepUpdate,
    largest: Uint32Array,
  ): void {
    let gradient = new Float32Array(0);
    for (let block = firstBlock; block < endBlock; block++) {
      const start = layout.blockStarts[block]!;
      const end = layout.blockStarts[block + 1]!;
      if (gradient.length < end - start) gradient = new Float32Array(end - start);
      dequantiseBlock(sums, start, end, exponents[block]!, laneCount, gradient);
      adamRange(arrays, start, end, gradient, 0, adam);
      averageRange(arrays.ema, arrays.weights, start, end, average);
      largest[block - firstBlock] = largestTotal(sums, start, end);
    }
  },
};
