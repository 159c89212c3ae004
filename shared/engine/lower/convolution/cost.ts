/**
 * What the nodes of a lowered convolution cost, in nanoseconds of one core: a product's arithmetic, and what the runtime copies
 * for it. The constants were measured (`npm run bench -- engine-costs`: 2 cores, AMD EPYC with AVX-512, 2026-11-25) and are part of the
 * source: they decide how programs are lowered, so that machines would otherwise compute other bits. Changing them is
 * changing `loweringVersion`. They need not be right, only better than no measurement: on another processor a choice may be
 * slower than it could be, never wrong.
 */
export const measuredCosts: Costs = {
  flop: 0.0111,
  right: 0.192,
  rightTransposed: 0.142,
  streamed: 0.0847,
  streamedTransposed: 0.128,
  leftTransposed: 0.383,
  result: 0.0559,
  copy: 0.183,
  packedFlop: 0.00959,
};

/** Nanoseconds of each unit of work. */
export interface Costs {
  /** A multiplication or an addition of a product. */
  readonly flop: number;
  /** A number of the right factor, which the runtime copies into panels. */
  readonly right: number;
  /** The same where the right factor is given transposed. */
  readonly rightTransposed: number;
  /** In addition where a right factor is too large for a cache. */
  readonly streamed: number;
  readonly streamedTransposed: number;
  /** A number of a left factor that is given transposed, which is copied for every 128 columns of the result. */
  readonly leftTransposed: number;
  /** A number of the result. */
  readonly result: number;
  /** A number that is copied in rows. */
  readonly copy: number;
  /** A multiplication or an addition of a convolution whose filter never changes: ONNX Runtime packs it when it loads the graph. */
  readonly packedFlop: number;
}

/** How much of each there is. */
export type Terms = { readonly [name in keyof Costs]?: number };

export const costNames = [
  'flop',
  'right',
  'rightTransposed',
  'streamed',
  'streamedTransposed',
  'leftTransposed',
  'result',
  'copy',
  'packedFlop',
] as const;

export const nanoseconds = (terms: Terms, costs: Costs = measuredCosts): number =>
  costNames.reduce((sum, name) => sum + (terms[name] ?? 0) * costs[name], 0);

/** `batch` products of [rows, depth] and [depth, columns]. */
export interface Product {
  readonly batch: number;
  readonly rows: number;
  readonly depth: number;
  readonly columns: number;
  readonly leftTransposed?: boolean;
  readonly rightTransposed?: boolean;
}

/** Numbers that one core's share of the last cache holds. */
const cached = 1 << 20;

export function productTerms(product: Product): Terms {
  const { batch, rows, depth, columns, leftTransposed = false, rightTransposed = false } = product;
  const right = batch * depth * columns;
  return {
    flop: 2 * batch * rows * depth * columns,
    right: rightTransposed ? 0 : right,
    rightTransposed: rightTransposed ? right : 0,
    streamed: right > cached && !rightTransposed ? right : 0,
    streamedTransposed: right > cached && rightTransposed ? right : 0,
    leftTransposed: leftTransposed ? batch * rows * depth * Math.ceil(columns / 128) : 0,
    result: batch * rows * columns,
  };
}

export const copyTerms = (numbers: number): Terms => ({ copy: numbers });
export const packedTerms = (flop: number): Terms => ({ packedFlop: flop });
