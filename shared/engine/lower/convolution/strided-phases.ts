import type { Value } from '../../graph/index.js';
import type { Lowering } from '../context.js';
import { filterTaps, imageTiles, placeFilterGradient, placeResult, resultGradientTiles } from './winograd-tiles.js';

/**
 * 4x4 convolutions of stride 2, padding 1, as stride-1 convolutions on phases. Forward, each output reads 2x2 windows
 * of the four (row parity, column parity) phases of the input: F(2x2, 2x2) on 4C channels. Backward, each parity of the
 * input's gradient is a convolution of dy with two by two of the taps: F(2x2, 3x3) with 4C results.
 */
const strided = { m: 2, r: 2 };
const transposed = { m: 2, r: 3 };

export const stridedForward: Lowering = (context, value) => {
  const [x, filter] = value.inputs as readonly [Value, Value];
  const taps = filterTaps(context, filter, 'strided-filter', strided);
  const tiles = imageTiles(context, x, strided, 2);
  placeResult(context, value, strided, context.emitter.matMul(tiles, taps), 1);
};

export const stridedInputGradient: Lowering = (context, value) => {
  const [dy, filter] = value.inputs as readonly [Value, Value];
  const taps = filterTaps(context, filter, 'transposed-filter', transposed);
  const tiles = imageTiles(context, dy, transposed, 1);
  placeResult(context, value, transposed, context.emitter.matMul(tiles, taps, { transposeB: true }), 2);
};

export const stridedFilterGradient: Lowering = (context, value) => {
  const [x, dy] = value.inputs as readonly [Value, Value];
  const tiles = imageTiles(context, x, strided, 2);
  const dProducts = resultGradientTiles(context, dy, strided);
  const dTaps = context.emitter.matMul(tiles, dProducts, { transposeA: true });
  placeFilterGradient(context, value, 'strided-filter-adjoint', strided, dTaps);
};
