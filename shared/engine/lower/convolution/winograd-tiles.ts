import { range } from '../../graph/index.js';
import type { Value } from '../../graph/index.js';
import type { LoweringContext } from '../context.js';
import type { Emitted } from '../emitter.js';
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
function transform(context: LoweringContext, name: WinogradMatrixName, { m, r }: Tiling, rows: Emitted): Emitted {
  const constant = winogradMatrix(name, m, r);
  const { emitter } = context;
  const table = emitter.table(`winograd:${name}:${m}:${r}`, [constant.rows, constant.columns], () => constant.data);
  return emitter.matMul(
    table,
    emitter.reshape(rows, [constant.columns, rows.shape.reduce((p, d) => p * d, 1) / constant.columns]),
  );
}

interface CutOptions {
  /** Side of the tiles. */
  readonly side: number;
  /** Rows and columns between tiles. */
  readonly step: number;
  /** Rows and columns of zeros before the image. */
  readonly pad: number;
  /** 2 = the four phases of every second row and column, side by side as channels. */
  readonly phases: 1 | 2;
  readonly salt?: string;
}

/** Cuts an NHWC image into tiles: [side * side, tiles * phases^2 * C], tiles in the order (n, row, column). */
function cutTiles(context: LoweringContext, image: Value, { side, step, pad, phases, salt }: CutOptions): Emitted {
  const { emitter, layouts } = context;
  const [n, h, w, c] = image.shape as readonly [number, number, number, number];
  const [down, across] = [Math.ceil(h / phases / step), Math.ceil(w / phases / step)];
  const outside = n * h * w;
  const key = `tiles:${[n, h, w, side, step, pad, phases].join('_')}`;
  const count = side * side * n * down * across * phases * phases;
  const indices = emitter.table(key, [count], () => {
    const rows: number[] = [];
    for (let i = 0; i < side; i++)
      for (let j = 0; j < side; j++)
        for (let b = 0; b < n; b++)
          for (let ty = 0; ty < down; ty++)
            for (let tx = 0; tx < across; tx++)
              for (let p = 0; p < phases; p++)
                for (let q = 0; q < phases; q++) {
                  const y = phases * (ty * step + i) + p - pad;
                  const x = phases * (tx * step + j) + q - pad;
                  rows.push(y < 0 || x < 0 || y >= h || x >= w ? outside : (b * h + y) * w + x);
                }
    return Int32Array.from(rows);
  });
  const rows = emitter.reshape(layouts.in(image, natural), [outside, c]);
  const complete = pad === 0 && down * step * phases === h && across * step * phases === w;
  const padded = complete ? rows : emitter.pad(rows, [0, 0], [1, 0]); // One row of zeros stands for the outside.
  const gathered = emitter.gather(padded, indices, 0, salt);
  return emitter.reshape(gathered, [side * side, (count / (side * side)) * c]);
}

/** Number of tiles of an image of `height` x `width` results. */
export const tileCount = (n: number, height: number, width: number, m: number): number =>
  n * Math.ceil(height / m) * Math.ceil(width / m);

/** Transformed tiles of a padded image: [t*t, tiles, phases^2 * C]. */
export function imageTiles(
  context: LoweringContext,
  image: Value,
  tiling: Tiling,
  phases: 1 | 2,
  salt?: string,
): Emitted {
  const t = tiling.m + tiling.r - 1;
  const tiles = cutTiles(context, image, {
    side: t,
    step: tiling.m,
    pad: 1,
    phases,
    ...(salt === undefined ? {} : { salt }),
  });
  const channels = image.shape[3]! * phases * phases;
  return context.emitter.reshape(transform(context, 'image', tiling, tiles), [
    t * t,
    tiles.shape[1]! / channels,
    channels,
  ]);
}

/** Adjoint of `placeResult`: transformed tiles of the gradient of a result, [t*t, tiles, O]. */
export function resultGradientTiles(context: LoweringContext, dy: Value, tiling: Tiling): Emitted {
  const t = tiling.m + tiling.r - 1;
  const tiles = cutTiles(context, dy, { side: tiling.m, step: tiling.m, pad: 0, phases: 1 });
  const channels = dy.shape[3]!;
  const transformed = transform(context, 'result-adjoint', tiling, tiles);
  return context.emitter.reshape(transformed, [t * t, tiles.shape[1]! / channels, channels]);
}

/**
 * Transformed filter: [t*t, groups * C, O], where groups is 4 for phased transforms. Depends on weights only; emitted
 * before the image's tiles, because ONNX Runtime runs the branch that was made last first: each transformed filter is
 * then made when it is needed, not all of them at the start.
 */
export function filterTaps(context: LoweringContext, filter: Value, name: WinogradMatrixName, tiling: Tiling): Emitted {
  const { emitter, layouts } = context;
  const [kh, kw, c, o] = filter.shape as readonly [number, number, number, number];
  const t = tiling.m + tiling.r - 1;
  const taps = transform(context, name, tiling, emitter.reshape(layouts.in(filter, natural), [kh * kw, c * o]));
  return emitter.reshape(taps, [t * t, (taps.shape[0]! / (t * t)) * c, o]);
}

/** From the gradient of transformed taps to the filter's, in model layout [kh, kw, C, O]. */
export function placeFilterGradient(
  context: LoweringContext,
  value: Value,
  name: WinogradMatrixName,
  tiling: Tiling,
  dTaps: Emitted,
): void {
  context.layouts.place(value, transform(context, name, tiling, dTaps), natural);
}

/** From products [t*t, tiles, phases^2 * O] to the NHWC result, each phase on its own rows and columns; adds the bias. */
export function placeResult(
  context: LoweringContext,
  value: Value,
  tiling: Tiling,
  products: Emitted,
  phases: 1 | 2,
): void {
  const { emitter, layouts } = context;
  const { m } = tiling;
  const [n, height, width, o] = value.shape as readonly [number, number, number, number];
  const [h, w] = [height / phases, width / phases];
  const [down, across] = [Math.ceil(h / m), Math.ceil(w / m)];
  const tiles = transform(context, 'result', tiling, products);
  const square = phases * phases;
  let result: Emitted;
  if (h % m !== 0 || w % m !== 0) {
    // Partial tiles at the border: pick the rows that exist.
    const indices = emitter.table(`untile:${[n, h, w, m, phases].join('_')}`, [n * height * width], () =>
      Int32Array.from(
        range(n).flatMap((b) =>
          range(height).flatMap((y) =>
            range(width).map((x) => {
              const [ry, rx] = [Math.floor(y / phases), Math.floor(x / phases)];
              const place = (ry % m) * m + (rx % m);
              const tile = (b * down + Math.floor(ry / m)) * across + Math.floor(rx / m);
              return (place * n * down * across + tile) * square + (y % phases) * phases + (x % phases);
            }),
          ),
        ),
      ),
    );
    result = emitter.gather(emitter.reshape(tiles, [m * m * n * down * across * square, o]), indices, 0);
  } else if (phases === 1) {
    result = emitter.transpose(emitter.reshape(tiles, [m, m, n, down, across, o]), [2, 3, 0, 4, 1, 5]);
  } else {
    const apart = emitter.reshape(tiles, [m, m, n, down, across, 2, 2, o]);
    result = emitter.transpose(apart, [2, 3, 0, 5, 4, 1, 6, 7]);
  }
  result = emitter.reshape(result, value.shape);
  const bias = context.biasOf(value);
  if (bias !== undefined) result = emitter.emit('Add', [result, layouts.natural(bias)], value.shape);
  layouts.place(value, result, natural);
}
