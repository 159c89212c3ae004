import { range } from '../../graph/index.js';
import type { Value } from '../../graph/index.js';
import type { LoweringContext } from '../context.js';
import type { Emitted, OnnxEmitter } from '../emitter.js';
import type { AxisOrder } from '../layouts.js';
import { bandsOf } from './bands.js';
import type { Band } from './bands.js';
import { winogradMatrix } from './winograd-matrices.js';
import type { WinogradMatrixName } from './winograd-matrices.js';

/**
 * The rows layout of Winograd's algorithm: images are NHWC rows of C contiguous floats, so cutting tiles is one Gather
 * that copies whole rows, and [tap, tile, channel] is a batched matrix product over taps.
 */
export interface Tiling {
  /** Side of a tile's result. */
  readonly m: number;
  /** Side of the filter that tiles are cut for: tiles have side m + r - 1. */
  readonly r: number;
}

const natural = [0, 1, 2, 3];

/** Product of a constant transform with rows. */
function transform(emitter: OnnxEmitter, name: WinogradMatrixName, { m, r }: Tiling, rows: Emitted): Emitted {
  const constant = winogradMatrix(name, m, r);
  const table = emitter.table(`winograd:${name}:${m}:${r}`, [constant.rows, constant.columns], () => constant.data);
  return emitter.matMul(
    table,
    emitter.reshape(rows, [constant.columns, rows.shape.reduce((p, d) => p * d, 1) / constant.columns]),
  );
}

interface Cut {
  /** Side of the tiles. */
  readonly side: number;
  /** Rows and columns between tiles. */
  readonly step: number;
  /** Rows and columns of zeros before the image. */
  readonly pad: number;
  /** 2 = the four phases of every second row and column, side by side as channels. */
  readonly phases: 1 | 2;
}

/** Cuts a band of an NHWC image into tiles: [side * side, tiles, phases^2 * C], tiles in the order (n, row, column). */
function cutTiles(context: LoweringContext, image: Value, { side, step, pad, phases }: Cut, band: Band): Emitted {
  const { emitter, layouts } = context;
  const [n, h, w, c] = image.shape as readonly [number, number, number, number];
  const [down, across] = [Math.ceil(h / phases / step), Math.ceil(w / phases / step)];
  const outside = n * h * w;
  const key = `tiles:${[n, h, w, side, step, pad, phases, band.from, band.to].join('_')}`;
  const tiles = (band.to - band.from) * across;
  const indices = emitter.table(key, [side * side * tiles * phases * phases], () => {
    const rows: number[] = [];
    for (let i = 0; i < side; i++)
      for (let j = 0; j < side; j++)
        for (let row = band.from; row < band.to; row++)
          for (let tx = 0; tx < across; tx++)
            for (let p = 0; p < phases; p++)
              for (let q = 0; q < phases; q++) {
                const [b, ty] = [Math.floor(row / down), row % down];
                const y = phases * (ty * step + i) + p - pad;
                const x = phases * (tx * step + j) + q - pad;
                rows.push(y < 0 || x < 0 || y >= h || x >= w ? outside : (b * h + y) * w + x);
              }
    return Int32Array.from(rows);
  });
  const rows = emitter.reshape(layouts.in(image, natural), [outside, c]);
  const complete = pad === 0 && down * step * phases === h && across * step * phases === w;
  const padded = complete ? rows : emitter.pad(rows, [0, 0], [1, 0]); // One row of zeros stands for the outside.
  return emitter.reshape(emitter.gather(padded, indices, 0), [side * side, tiles, phases * phases * c]);
}

/** The bands in which a result of this shape is computed from `channels` channels by a filter of `taps` transformed numbers. */
export function resultBands(
  context: LoweringContext,
  shape: readonly number[],
  tiling: Tiling,
  phases: 1 | 2,
  { channels, filterSize }: { readonly channels: number; readonly filterSize: number },
): Band[] {
  const [n, height, width] = shape as readonly [number, number, number];
  const { m, r } = tiling;
  const [down, across] = [Math.ceil(height / phases / m), Math.ceil(width / phases / m)];
  const taps = (m + r - 1) * (m + r - 1);
  return bandsOf({
    rowsPerImage: down,
    images: n,
    bytesPerRow: 4 * taps * across * channels,
    filterBytes: 4 * taps * filterSize,
    bandBytes: context.options.bandBytes,
    wholeImages: (height / phases) % m !== 0 || (width / phases) % m !== 0,
  });
}

/** The order of a tile's numbers behind its taps: of every tile its channels, or of every channel its tiles. */
export type TileOrder = 'by-tile' | 'by-channel';

function transformTiles(
  context: LoweringContext,
  name: WinogradMatrixName,
  tiling: Tiling,
  tiles: Emitted,
  order: TileOrder,
): Emitted {
  const rows = order === 'by-tile' ? tiles : context.emitter.transpose(tiles, [0, 2, 1]);
  const transformed = transform(context.emitter, name, tiling, rows);
  return context.emitter.reshape(transformed, [transformed.shape[0]!, ...rows.shape.slice(1)]);
}

/** Transformed tiles of a band of a padded image: [t*t, tiles, phases^2 * C], or by channel. */
export function imageTiles(
  context: LoweringContext,
  image: Value,
  tiling: Tiling,
  phases: 1 | 2,
  band: Band,
  order: TileOrder = 'by-tile',
): Emitted {
  const side = tiling.m + tiling.r - 1;
  const tiles = cutTiles(context, image, { side, step: tiling.m, pad: 1, phases }, band);
  return transformTiles(context, 'image', tiling, tiles, order);
}

/** Adjoint of `placeResult`: transformed tiles of the gradient of a result, [t*t, tiles, O], or by channel. */
export function resultGradientTiles(
  context: LoweringContext,
  dy: Value,
  tiling: Tiling,
  band: Band,
  order: TileOrder = 'by-tile',
): Emitted {
  const tiles = cutTiles(context, dy, { side: tiling.m, step: tiling.m, pad: 0, phases: 1 }, band);
  return transformTiles(context, 'result-adjoint', tiling, tiles, order);
}

/**
 * Transformed filter, prepared where it is fixed: [t*t, groups * C, O] (or O and C exchanged, by `order`), where groups is 4 for phased transforms. Depends on weights only; emitted
 * before the image's tiles, because ONNX Runtime runs the branch that was made last first: each transformed filter is
 * then made when it is needed, not all of them at the start.
 */
export function filterTaps(
  context: LoweringContext,
  filter: Value,
  name: WinogradMatrixName,
  tiling: Tiling,
  order: AxisOrder = natural,
): Emitted {
  const { layouts, options, prepared } = context;
  const { m, r } = tiling;
  const t = m + r - 1;
  const make = (emitter: OnnxEmitter, rows: Emitted): Emitted => {
    const [kh, kw, left, right] = rows.shape as readonly [number, number, number, number];
    const taps = transform(emitter, name, tiling, emitter.reshape(rows, [kh * kw, left * right]));
    return emitter.reshape(taps, [t * t, (taps.shape[0]! / (t * t)) * left, right]);
  };
  return options.preparesWeights && filter.attributes['role'] === 'weight'
    ? prepared.add(filter, order, `${name}:${m}:${r}`, make)
    : make(context.emitter, layouts.in(filter, order));
}

/** From the gradient of transformed taps to the filter's, in model layout [kh, kw, C, O]. */
export function placeFilterGradient(
  context: LoweringContext,
  value: Value,
  name: WinogradMatrixName,
  tiling: Tiling,
  dTaps: Emitted,
): void {
  context.layouts.place(value, transform(context.emitter, name, tiling, dTaps), natural);
}

/**
 * From products [t*t, tiles, phases^2 * O] of every band, or by channel, to the NHWC result, each phase on its own rows
 * and columns; adds the bias.
 */
export function placeResult(
  context: LoweringContext,
  value: Value,
  tiling: Tiling,
  phases: 1 | 2,
  bands: readonly Band[],
  products: (band: Band) => { readonly tensor: Emitted; readonly order: TileOrder },
): void {
  const { emitter, layouts } = context;
  const bias = context.biasOf(value);
  const parts = bands.map((band) => {
    const { tensor, order } = products(band);
    const transformed = transform(emitter, 'result', tiling, tensor);
    const moved = emitter.reshape(transformed, [transformed.shape[0]!, ...tensor.shape.slice(1)]);
    const tiles = order === 'by-tile' ? moved : emitter.transpose(moved, [0, 2, 1]);
    const rows = untile(context, value, tiling, phases, band, tiles);
    return bias === undefined ? rows : emitter.emit('Add', [rows, layouts.natural(bias)], rows.shape);
  });
  layouts.place(value, emitter.concat(parts, 0), natural);
}

/** A band's results [m*m, tiles, phases^2 * O] on their rows and columns: [pixels, O]. */
function untile(
  context: LoweringContext,
  value: Value,
  { m }: Tiling,
  phases: 1 | 2,
  band: Band,
  tiles: Emitted,
): Emitted {
  const { emitter } = context;
  const [, height, width, o] = value.shape as readonly [number, number, number, number];
  const [h, w] = [height / phases, width / phases];
  const [down, across] = [Math.ceil(h / m), Math.ceil(w / m)];
  const rows = band.to - band.from;
  const square = phases * phases;
  if (h % m === 0 && w % m === 0) {
    const pixels = [rows * m * phases * width, o];
    const apart = emitter.reshape(tiles, phases === 1 ? [m, m, rows, across, o] : [m, m, rows, across, 2, 2, o]);
    return emitter.reshape(emitter.transpose(apart, phases === 1 ? [2, 0, 3, 1, 4] : [2, 0, 4, 3, 1, 5, 6]), pixels);
  }
  // Partial tiles at the border: pick the rows that exist. Bands are whole images then.
  const images = rows / down;
  const indices = emitter.table(`untile:${[images, h, w, m, phases].join('_')}`, [images * height * width], () =>
    Int32Array.from(
      range(images).flatMap((b) =>
        range(height).flatMap((y) =>
          range(width).map((x) => {
            const [ry, rx] = [Math.floor(y / phases), Math.floor(x / phases)];
            const place = (ry % m) * m + (rx % m);
            const tile = (b * down + Math.floor(ry / m)) * across + Math.floor(rx / m);
            return (place * rows * across + tile) * square + (y % phases) * phases + (x % phases);
          }),
        ),
      ),
    ),
  );
  return emitter.gather(emitter.reshape(tiles, [m * m * rows * across * square, o]), indices, 0);
}
