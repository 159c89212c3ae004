import type { Value } from '../../graph/index.js';
import type { Lowering } from '../context.js';
import { filterTaps, imageTiles, placeFilterGradient, placeResult, resultGradientTiles } from './winograd-tiles.js';

/** 3x3 convolutions of stride 1 by F(m x m, 3x3). Filters stay in model layout [3, 3, C, O], and so do gradients. */

export const winogradForward =
  (m: number): Lowering =>
  (context, value) => {
    const [x, filter] = value.inputs as readonly [Value, Value];
    const tiling = { m, r: 3 };
    const taps = filterTaps(context, filter, 'filter', tiling);
    const tiles = imageTiles(context, x, tiling, 1);
    placeResult(context, value, tiling, context.emitter.matMul(tiles, taps), 1);
  };

/** The gradient of the input is the convolution of dy with the turned filter, C and O exchanged. */
export const winogradInputGradient =
  (m: number): Lowering =>
  (context, value) => {
    const [dy, filter] = value.inputs as readonly [Value, Value];
    const tiling = { m, r: 3 };
    const taps = filterTaps(context, filter, 'filter-turned', tiling);
    const tiles = imageTiles(context, dy, tiling, 1);
    placeResult(context, value, tiling, context.emitter.matMul(tiles, taps, { transposeB: true }), 1);
  };

/**
 * The adjoint of a convolution with respect to its taps: of the forward pass, or of that of the input's gradient, in which x and
 * dy change places. The second needs the transformed tiles of dy that the input's gradient needs as well, and none of
 * x from the forward pass, which would have to be kept until now (2.25 times the size of x for m = 4). Where x has no
 * gradient, the first.
 */
export const winogradFilterGradient =
  (m: number): Lowering =>
  (context, value) => {
    const [x, dy] = value.inputs as readonly [Value, Value];
    const tiling = { m, r: 3 };
    const ofForward = x.attributes['role'] === 'input';
    const xTiles = ofForward ? imageTiles(context, x, tiling, 1) : resultGradientTiles(context, x, tiling);
    const dyTiles = ofForward ? resultGradientTiles(context, dy, tiling) : imageTiles(context, dy, tiling, 1);
    const dTaps = context.emitter.matMul(xTiles, dyTiles, { transposeA: true });
    placeFilterGradient(context, value, ofForward ? 'filter-adjoint' : 'filter-turned-adjoint', tiling, dTaps);
  };
