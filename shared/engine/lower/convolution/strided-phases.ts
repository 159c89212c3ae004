import { convolutionOf } from '../../graph/index.js';
import type { Value } from '../../graph/index.js';
import type { Lowering } from '../context.js';
import { tileCount } from './estimate.js';
import {
  filterTaps,
  imageTiles,
  placeFilterGradient,
  placeResult,
  resultBands,
  resultGradientTiles,
} from './winograd-tiles.js';

/**
 * 4x4 convolutions of stride 2, padding 1, as stride-1 convolutions on phases. Forward, each output reads 2x2 windows
 * of the four (row parity, column parity) phases of the input: F(2x2, 2x2) on 4C channels. Backward, each parity of the
 * input's gradient is a convolution of dy with two by two of the taps: F(2x2, 3x3) with 4C results.
 */
const strided = { m: 2, r: 2 };
const transposed = { m: 2, r: 3 };

/** Channels of tiles and products, and numbers of a filter, per tap. */
function sizes(value: Value): { readonly channels: number; readonly filterSize: number } {
  const [, , c, o] = convolutionOf(value).filterShape as readonly [number, number, number, number];
  return { channels: 4 * c + o, filterSize: 4 * c * o };
}

export const stridedForward: Lowering = (context, value) => {
  const [x, filter] = value.inputs as readonly [Value, Value];
  const taps = filterTaps(context, filter, 'strided-filter', strided);
  placeResult(context, value, strided, 1, resultBands(context, value.shape, strided, 1, sizes(value)), (band) => ({
    tensor: context.emitter.matMul(imageTiles(context, x, strided, 2, band), taps),
    order: 'by-tile',
  }));
};

export const stridedInputGradient: Lowering = (context, value) => {
  const [dy, filter] = value.inputs as readonly [Value, Value];
  const taps = filterTaps(context, filter, 'transposed-filter', transposed);
  placeResult(
    context,
    value,
    transposed,
    2,
    resultBands(context, value.shape, transposed, 2, sizes(value)),
    (band) => ({
      tensor: context.emitter.matMul(imageTiles(context, dy, transposed, 1, band), taps, { transposeB: true }),
      order: 'by-tile',
    }),
  );
};

/**
 * The runtime's product with a transposed left factor is slow over many tiles. Where they outnumber the channels, the tiles of dy are
 * the left factor, by channel, and the gradient is turned at the end.
 */
export const stridedFilterGradient: Lowering = (context, value) => {
  const { emitter } = context;
  const [x, dy] = value.inputs as readonly [Value, Value];
  const { outputShape, filterShape } = convolutionOf(value);
  const bands = resultBands(context, outputShape, strided, 1, sizes(value));
  const byChannel = tileCount(outputShape, strided.m) > 2 * filterShape[2]!;
  const parts = bands.map((band) => {
    const tiles = imageTiles(context, x, strided, 2, band);
    return byChannel
      ? emitter.matMul(resultGradientTiles(context, dy, strided, band, 'by-channel'), tiles)
      : emitter.matMul(tiles, resultGradientTiles(context, dy, strided, band), { transposeA: true });
  });
  const dTaps = emitter.total(parts);
  const inOrder = byChannel ? emitter.transpose(dTaps, [0, 2, 1]) : dTaps;
  placeFilterGradient(context, value, 'strided-filter-adjoint', strided, inOrder);
};
