import { convolutionOf } from '../../graph/index.js';
import type { Value } from '../../graph/index.js';
import type { Lowering, LoweringContext } from '../context.js';
import type { AxisOrder } from '../layouts.js';
import type { Band } from './bands.js';
import {
  filterTaps,
  imageTiles,
  placeFilterGradient,
  placeResult,
  resultBands,
  resultGradientTiles,
} from './winograd-tiles.js';
import type { Tiling } from './winograd-tiles.js';

/** 3x3 convolutions of stride 1 by F(m x m, 3x3). Filters stay in model layout [3, 3, C, O], and so do gradients. */

/** The filter's order for `winogradForward` with `outputsFirst`. */
export const winogradOutputsFirst: AxisOrder = [0, 1, 3, 2];

/** One for all three kernels: the gradients share transformed tiles. */
function bandsFor(context: LoweringContext, value: Value, tiling: Tiling): Band[] {
  const { outputShape, filterShape } = convolutionOf(value);
  const [, , c, o] = filterShape as readonly [number, number, number, number];
  return resultBands(context, outputShape, tiling, 1, { channels: c + o, filterSize: c * o });
}

/**
 * `outputsFirst`: the filter is read in the order [3, 3, O, C], in which the runtime copies it faster. For constant filters: in a
 * training program the input's gradient reads the same filter in model layout.
 */
export const winogradForward =
  (m: number, { outputsFirst }: { readonly outputsFirst: boolean }): Lowering =>
  (context, value) => {
    const [x, filter] = value.inputs as readonly [Value, Value];
    const tiling = { m, r: 3 };
    const taps = filterTaps(context, filter, 'filter', tiling, outputsFirst ? winogradOutputsFirst : undefined);
    placeResult(context, value, tiling, 1, bandsFor(context, value, tiling), (band) => ({
      tensor: context.emitter.matMul(imageTiles(context, x, tiling, 1, band), taps, { transposeB: outputsFirst }),
      order: 'by-tile',
    }));
  };

/**
 * The gradient of the input is the convolution of dy with the turned filter, C and O exchanged. `filterFirst`: the filter is
 * the left factor, which is read as it is, and the tiles the right one, which the runtime copies into an order of its own:
 * faster where the filter is the larger of the two.
 */
export const winogradInputGradient =
  (m: number, { filterFirst }: { readonly filterFirst: boolean }): Lowering =>
  (context, value) => {
    const { emitter } = context;
    const [dy, filter] = value.inputs as readonly [Value, Value];
    const tiling = { m, r: 3 };
    const taps = filterTaps(context, filter, 'filter-turned', tiling);
    placeResult(context, value, tiling, 1, bandsFor(context, value, tiling), (band) => {
      const tiles = imageTiles(context, dy, tiling, 1, band);
      return filterFirst
        ? { tensor: emitter.matMul(taps, tiles, { transposeB: true }), order: 'by-channel' }
        : { tensor: emitter.matMul(tiles, taps, { transposeB: true }), order: 'by-tile' };
    });
  };

/**
 * The adjoint of a convolution with respect to its taps: of the forward pass, or of that of the input's gradient, in which x and
 * dy change places. The second needs the transformed tiles of dy that the input's gradient needs as well, and none of
 * x from the forward pass, which would have to be kept until now (2.25 times the size of x for m = 4). Where x has no
 * gradient, the first. The tiles of x are the left factor, by channel: a left factor that the runtime has to transpose makes the
 * product up to twice as slow.
 */
export const winogradFilterGradient =
  (m: number): Lowering =>
  (context, value) => {
    const { emitter } = context;
    const [x, dy] = value.inputs as readonly [Value, Value];
    const tiling = { m, r: 3 };
    const ofForward = x.attributes['role'] === 'input';
    const parts = bandsFor(context, value, tiling).map((band) => {
      const xTiles = ofForward
        ? imageTiles(context, x, tiling, 1, band, 'by-channel')
        : resultGradientTiles(context, x, tiling, band, 'by-channel');
      const dyTiles = ofForward
        ? resultGradientTiles(context, dy, tiling, band)
        : imageTiles(context, dy, tiling, 1, band);
      return emitter.matMul(xTiles, dyTiles);
    });
    const dTaps = emitter.total(parts);
    placeFilterGradient(context, value, ofForward ? 'filter-adjoint' : 'filter-turned-adjoint', tiling, dTaps);
  };
