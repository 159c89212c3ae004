import type { ConvolutionAttributes } from '../../types.js';
import { copyTerms, nanoseconds, packedTerms, productTerms } from './cost.js';
import type { Product } from './cost.js';

/**
 * Estimates of what a convolution costs in each way to compute it, in nanoseconds, by the products and copies that its lowering
 * is made of (`cost.ts`). Only what differs between ways is counted.
 */
export interface Estimate {
  readonly forward: number;
  readonly inputGradient: number;
  readonly filterGradient: number;
}

interface Layer {
  readonly n: number;
  /** Of the result; the maps that are convolved have stride 1 and equal sides in and out. */
  readonly height: number;
  readonly width: number;
  readonly c: number;
  readonly o: number;
}

const product = (p: Product): number => nanoseconds(productTerms(p));
const copy = (numbers: number): number => nanoseconds(copyTerms(numbers));
/** Of a constant [rows, depth] with what is `columns` wide. */
const transform = (rows: number, depth: number, columns: number): number => product({ batch: 1, rows, depth, columns });

export function layerOf({ outputShape, filterShape }: ConvolutionAttributes, batch?: number): Layer {
  const [n, height, width] = outputShape as readonly [number, number, number, number];
  const [, , c, o] = filterShape as readonly [number, number, number, number];
  return { n: batch ?? n, height, width, c, o };
}

/** Number of tiles of m x m results of a batch of maps [N, H, W, ..]. */
export const tileCount = ([n, height, width]: readonly number[], m: number): number =>
  n! * Math.ceil(height! / m) * Math.ceil(width! / m);
const tilesOf = ({ n, height, width }: Layer, m: number): number => tileCount([n, height, width], m);

/** Products of tiles with a transformed filter, and which of the two is better the left factor for the gradient of the input. */
export function inputGradientProducts(
  layer: Layer,
  m: number,
): { readonly filterFirst: boolean; readonly cost: number } {
  const { c, o } = layer;
  const [batch, tiles] = [(m + 2) ** 2, tilesOf(layer, m)];
  const tilesFirst = product({ batch, rows: tiles, depth: o, columns: c, rightTransposed: true });
  // Its result is by channel, and has to be turned.
  const filterFirst =
    product({ batch, rows: c, depth: o, columns: tiles, rightTransposed: true }) + copy(2 * m * m * tiles * c);
  return { filterFirst: filterFirst < tilesFirst, cost: Math.min(tilesFirst, filterFirst) };
}

/** Tiles of an image there and back, by F(m x m, 3x3). */
const there = (layer: Layer, m: number, channels: number): number => {
  const [taps, tiles] = [(m + 2) ** 2, tilesOf(layer, m)];
  return copy(taps * tiles * channels) + transform(taps, taps, tiles * channels);
};
const back = (layer: Layer, m: number, channels: number): number => {
  const [taps, tiles] = [(m + 2) ** 2, tilesOf(layer, m)];
  return transform(m * m, taps, tiles * channels) + copy(m * m * tiles * channels);
};

/** 3x3 by F(m x m, 3x3). */
export function estimateWinograd(layer: Layer, m: number): Estimate {
  const { c, o } = layer;
  const [taps, tiles] = [(m + 2) ** 2, tilesOf(layer, m)];
  const filter = transform(taps, 9, c * o);
  return {
    forward:
      filter + there(layer, m, c) + product({ batch: taps, rows: tiles, depth: c, columns: o }) + back(layer, m, o),
    inputGradient: filter + there(layer, m, o) + inputGradientProducts(layer, m).cost + back(layer, m, c),
    // The tiles of dy are those of the input's gradient.
    filterGradient:
      copy(2 * m * m * tiles * c) +
      transform(taps, m * m, tiles * c) +
      product({ batch: taps, rows: c, depth: tiles, columns: o }) +
      transform(9, taps, c * o),
  };
}

/** 3x3 forward with a filter that was transformed when the graph was loaded. */
export function estimateFixedWinograd(layer: Layer, m: number): number {
  const { c, o } = layer;
  const products = product({
    batch: (m + 2) ** 2,
    rows: tilesOf(layer, m),
    depth: c,
    columns: o,
    rightTransposed: true,
  });
  return there(layer, m, c) + products + back(layer, m, o);
}

/** 3x3 as ONNX has it (im2col and a product per image), and its filter's gradient as a product over the batch. */
export function estimatePlain({ n, height, width, c, o }: Layer): Estimate {
  const pixels = height * width;
  const columns = copy(9 * c * pixels * n);
  return {
    forward: columns + product({ batch: n, rows: o, depth: 9 * c, columns: pixels }),
    inputGradient: product({ batch: n, rows: 9 * c, depth: o, columns: pixels, leftTransposed: true }) + columns,
    filterGradient:
      2 * columns + product({ batch: 1, rows: o, depth: n * pixels, columns: 9 * c, rightTransposed: true }),
  };
}

/** A convolution whose filter ONNX Runtime packed when it loaded the graph. */
export const estimatePacked = ({ n, height, width, c, o }: Layer, side: number): number =>
  nanoseconds(packedTerms(2 * side * side * c * o * n * height * width));

/** 4x4 of stride 2 forward by phases, with a filter that was transformed when the graph was loaded. */
export function estimateFixedPhases(layer: Layer): number {
  const { c, o } = layer;
  const tiles = tilesOf(layer, 2);
  return (
    copy(9 * tiles * 4 * c) +
    transform(9, 9, tiles * 4 * c) +
    product({ batch: 9, rows: tiles, depth: 4 * c, columns: o }) +
    transform(4, 9, tiles * o) +
    copy(4 * tiles * o)
  );
}

export const totalOf = ({ forward, inputGradient, filterGradient }: Estimate): number =>
  forward + inputGradient + filterGradient;
