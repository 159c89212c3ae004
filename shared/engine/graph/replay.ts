import type { ConvolutionAttributes, NodeAttributes } from '../types.js';
import type { GraphBuilder } from './builder.js';
import { atan, atan2, clip, eluGrad, expm1, floorDiv, isFinite, isInf, isNan, log1p, mod, tan } from './elementary.js';
import { binaryOps, unaryOps } from './rules/elementwise.js';
import { range, sizeOf } from './shape.js';
import type { Shape } from './shape.js';
import { unsupportedOp } from './unsupported.js';
import type { Attributes, DataType, Value } from './value.js';

interface Result {
  readonly shape: Shape;
  readonly dtype: DataType;
}

type Replay = (
  builder: GraphBuilder,
  inputs: readonly Value[],
  attributes: Attributes,
  result: Result,
) => Value | undefined;

/** Makes the value of one recorded kernel. */
export function replayNode(
  builder: GraphBuilder,
  op: string,
  inputs: readonly Value[],
  attributes: Attributes,
  result: Result,
): Value {
  const value = replays[op]?.(builder, inputs, attributes, result);
  if (value === undefined) {
    const why = replays[op] === undefined ? undefined : 'this combination of attributes is not supported';
    throw unsupportedOp(
      op,
      inputs.map((input) => input.shape),
      result.shape,
      why,
    );
  }
  return value;
}

/** Kernels that stay as they are. */
const keep =
  (op: string): Replay =>
  (builder, inputs, attributes, { shape, dtype }) =>
    builder.make({ op, inputs, attributes, shape, dtype });

const as = <K extends keyof NodeAttributes>(attributes: Attributes): NodeAttributes[K] =>
  attributes as unknown as NodeAttributes[K];

/** Reads rows `indices` of an axis: the form that resampling and mirroring take, since their indices are constants. */
function gatherConstant(builder: GraphBuilder, x: Value, indices: readonly number[], axis: number): Value {
  const table = builder.constant(Int32Array.from(indices), [indices.length], 'int32');
  const shape = x.shape.map((dimension, i) => (i === axis ? indices.length : dimension));
  return builder.make({ op: 'GatherV2', inputs: [x, table], attributes: { axis }, shape, dtype: x.dtype });
}

const reduction =
  (op: string): Replay =>
  (builder, [x], attributes) => {
    const { axes, keepDims } = as<'Reduction'>(attributes);
    return builder.reduce(op, x!, axes, keepDims);
  };

/** Any and All are the largest and smallest of 0 and 1. */
const booleanReduction =
  (op: 'Max' | 'Min'): Replay =>
  (builder, [x], attributes) => {
    const { axes, keepDims } = as<'Reduction'>(attributes);
    return builder.cast(builder.reduce(op, builder.cast(x!, 'int32'), axes, keepDims), 'bool');
  };

const oneHot: Replay = (builder, [indices], attributes, { shape, dtype }) => {
  const { depth, onValue, offValue } = as<'OneHot'>(attributes);
  const column = builder.reshape(indices!, [...indices!.shape, 1]);
  const classes = builder.constant(Int32Array.from(range(depth)), [depth], 'int32');
  const hit = builder.binary('Equal', column, classes, 'bool');
  const [on, off] = [builder.uniform(onValue, [], dtype), builder.uniform(offValue, [], dtype)];
  return builder.make({ op: 'Select', inputs: [hit, on, off], attributes: {}, shape, dtype });
};

const mirrorPad: Replay = (builder, [x], attributes) => {
  const { paddings, mode } = as<'MirrorPad'>(attributes);
  const edge = mode === 'symmetric' ? 1 : 0;
  return paddings.reduce((value, [before, after], axis) => {
    if (before === 0 && after === 0) return value;
    const n = x!.shape[axis]!;
    const mirrored = (i: number): number => (i < 0 ? -i - edge : i >= n ? 2 * (n - 1) - i + edge : i);
    return gatherConstant(
      builder,
      value,
      range(n + before + after).map((i) => mirrored(i - before)),
      axis,
    );
  }, x!);
};

/** Source row of each target row: the arithmetic of tfjs' cpu kernel. */
function nearestRows(from: number, to: number, alignCorners: boolean, halfPixelCenters: boolean): number[] {
  const ratio = alignCorners && to > 1 ? (from - 1) / (to - 1) : from / to;
  return range(to).map((i) => {
    const position = halfPixelCenters ? ratio * (i + 0.5) : ratio * i;
    return Math.max(0, Math.min(from - 1, alignCorners ? Math.round(position) : Math.floor(position)));
  });
}

const resizeNearest: Replay = (builder, [x], attributes) => {
  const { size, alignCorners, halfPixelCenters } = as<'ResizeNearestNeighbor'>(attributes);
  const [n, h, w, c] = x!.shape as [number, number, number, number];
  const [fy, fx] = [size[0] / h, size[1] / w];
  if (!alignCorners && Number.isInteger(fy) && Number.isInteger(fx)) {
    const apart = builder.reshape(x!, [n, h, 1, w, 1, c]);
    return builder.reshape(builder.expand(apart, [n, h, fy, w, fx, c]), [n, size[0], size[1], c]);
  }
  const rows = gatherConstant(builder, x!, nearestRows(h, size[0], alignCorners, halfPixelCenters), 1);
  return gatherConstant(builder, rows, nearestRows(w, size[1], alignCorners, halfPixelCenters), 2);
};

/** Whole factors only: the sum over the copies that each pixel was given. */
const resizeNearestGrad: Replay = (builder, [dy], attributes, { shape }) => {
  const [n, h, w, c] = shape as readonly [number, number, number, number];
  const [fy, fx] = [dy!.shape[1]! / h, dy!.shape[2]! / w];
  if (as<'ResizeNearestNeighborGrad'>(attributes).alignCorners || !Number.isInteger(fy) || !Number.isInteger(fx))
    return undefined;
  return builder.reduce('Sum', builder.reshape(dy!, [n, h, fy, w, fx, c]), [2, 4], false);
};

/** Pools that tile the image: mean over, and repetition within, each tile. */
function poolTiles(attributes: Attributes): [number, number] | undefined {
  const { filterSize, strides, pads, inputShape } = attributes as unknown as ConvolutionAttributes;
  const [kh, kw] = filterSize;
  const tiles = strides[0] === kh && strides[1] === kw && pads.every((pad) => pad === 0);
  return tiles && inputShape[1]! % kh === 0 && inputShape[2]! % kw === 0 ? [kh, kw] : undefined;
}

const averagePool: Replay = (builder, [x], attributes, { shape }) => {
  const tiles = poolTiles(attributes);
  if (tiles === undefined) return undefined;
  const [n, h, w, c] = shape as readonly [number, number, number, number];
  return builder.reduce('Mean', builder.reshape(x!, [n, h, tiles[0], w, tiles[1], c]), [2, 4], false);
};

const averagePoolGrad: Replay = (builder, [dy], attributes, { shape }) => {
  const tiles = poolTiles(attributes);
  if (tiles === undefined) return undefined;
  const [n, h, w, c] = dy!.shape as readonly [number, number, number, number];
  const apart = builder.reshape(builder.scale(dy!, 1 / sizeOf(tiles)), [n, h, 1, w, 1, c]);
  return builder.reshape(builder.expand(apart, [n, h, tiles[0], w, tiles[1], c]), shape);
};

const replays: Readonly<Record<string, Replay>> = {
  ...Object.fromEntries(
    [...unaryOps, ...binaryOps, 'Neg', 'Square', 'Rsqrt', 'SquaredDifference'].map((op) => [op, keep(op)]),
  ),
  ...Object.fromEntries(['Sum', 'Mean', 'Max', 'Min', 'Prod'].map((op) => [op, reduction(op)])),
  ...Object.fromEntries(
    [
      'Select', 'ArgMax', 'ArgMin', 'Cumsum', 'Softmax', 'LogSoftmax', 'StridedSlice', 'Tile', 'PadV2', 'Reverse', 'GatherV2', 'GatherNd',
      'ScatterNd', 'UnsortedSegmentSum', 'BatchMatMul', 'Conv2D', 'Conv2DBackpropInput', 'Conv2DBackpropFilter', 'DepthwiseConv2dNative',
      'DepthwiseConv2dNativeBackpropInput', 'DepthwiseConv2dNativeBackpropFilter',
    ].map((op) => [op, keep(op)]),
  ), // prettier-ignore
  Identity: (_builder, [x]) => x,
  Any: booleanReduction('Max'),
  All: booleanReduction('Min'),
  Mod: (builder, [a, b]) => mod(builder, a!, b!),
  FloorDiv: (builder, [a, b]) => floorDiv(builder, a!, b!),
  ClipByValue: (builder, [x], attributes) => clip(builder, x!, as<'ClipByValue'>(attributes)),
  Relu6: (builder, [x]) => clip(builder, x!, { min: 0, max: 6 }),
  EluGrad: (builder, [dy, y]) => eluGrad(builder, dy!, y!),
  Expm1: (builder, [x]) => expm1(builder, x!),
  Log1p: (builder, [x]) => log1p(builder, x!),
  Tan: (builder, [x]) => tan(builder, x!),
  Atan: (builder, [x]) => atan(builder, x!),
  Atan2: (builder, [y, x]) => atan2(builder, y!, x!),
  IsNan: (builder, [x]) => isNan(builder, x!),
  IsInf: (builder, [x]) => isInf(builder, x!),
  IsFinite: (builder, [x]) => isFinite(builder, x!),
  OneHot: oneHot,
  MirrorPad: mirrorPad,
  ResizeNearestNeighbor: resizeNearest,
  ResizeNearestNeighborGrad: resizeNearestGrad,
  AvgPool: averagePool,
  AvgPoolGrad: averagePoolGrad,
  Cast: (builder, [x], attributes) => builder.cast(x!, as<'Cast'>(attributes).dtype),
  Reshape: (builder, [x], _attributes, { shape }) => builder.reshape(x!, shape),
  BroadcastTo: (builder, [x], _attributes, { shape }) => builder.expand(x!, shape),
  Transpose: (builder, [x], attributes) => builder.transpose(x!, as<'Transpose'>(attributes).perm),
  Slice: (builder, [x], attributes) => builder.slice(x!, as<'Slice'>(attributes).begin, as<'Slice'>(attributes).size),
  Concat: (builder, inputs, attributes) => builder.concat(inputs, as<'Concat'>(attributes).axis),
};

/** tfjs kernels that can be lowered, sorted. */
export const supportedKernels: readonly string[] = Object.keys(replays)
  .filter((op) => op !== 'Gelu' && op !== 'NormalCdf')
  .sort();
