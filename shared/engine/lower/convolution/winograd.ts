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

/** The adjoint of the forward pass with respect to the taps: V^T dM per tap, then back through the filter transform. */
export const winogradFilterGradient =
  (m: number): Lowering =>
  (context, value) => {
    const [x, dy] = value.inputs as readonly [Value, Value];
    const tiling = { m, r: 3 };
    const tiles = imageTiles(context, x, tiling, 1);
    const dProducts = resultGradientTiles(context, dy, tiling);
    const dTaps = context.emitter.matMul(tiles, dProducts, { transposeA: true });
    placeFilterGradient(context, value, 'filter-adjoint', tiling, dTaps);
  };
