/** Random small tfjs programs: a list of numbers chooses ops and operands; shapes decide what is possible. */
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import type { ProgramDefinition, TensorSpec } from '@thaw/shared/engine';

/** One op: which, on which of the values made so far, with which details. */
export interface Choice {
  readonly op: number;
  readonly first: number;
  readonly second: number;
  readonly detail: number;
}

export const choices = fc.array(
  fc.record({ op: fc.noBias(fc.nat(10_000)), first: fc.nat(1000), second: fc.nat(1000), detail: fc.nat(10_000) }),
  { minLength: 1, maxLength: 9 },
);

const f32 = (...shape: number[]): TensorSpec => ({ shape, dtype: 'float32' });
const weightSpecs = {
  kernel: f32(3, 3, 4, 6),
  pointwise: f32(1, 1, 4, 3),
  strided: f32(4, 4, 4, 4),
  depthwise: f32(3, 3, 4, 1),
  transposed: f32(4, 4, 2, 4),
  dense: f32(4, 5),
  bias: f32(4),
  scale: f32(6, 6, 1),
} as const;
const inputSpecs = {
  x: f32(2, 6, 6, 4),
  y: f32(2, 6, 6, 4),
  mask: f32(6, 4),
  index: { shape: [3], dtype: 'int32' },
} as const satisfies Record<string, TensorSpec>;
type Weights = Record<keyof typeof weightSpecs, tf.Tensor>;
type Inputs = Record<keyof typeof inputSpecs, tf.Tensor>;

const maxSize = 2000;

interface Op {
  readonly name: string;
  /** Undefined when the op cannot take these operands. */
  readonly apply: (
    a: tf.Tensor,
    b: tf.Tensor,
    detail: number,
    weights: Weights,
    inputs: Inputs,
  ) => tf.Tensor | undefined;
}

const sameShape = (a: tf.Tensor, b: tf.Tensor): boolean =>
  a.shape.length === b.shape.length && a.shape.every((length, i) => length === b.shape[i]);
const broadcastable = (a: tf.Tensor, b: tf.Tensor): boolean => {
  for (let i = 1; i <= Math.min(a.rank, b.rank); i++) {
    const [m, n] = [a.shape.at(-i)!, b.shape.at(-i)!];
    if (m !== n && m !== 1 && n !== 1) return false;
  }
  return Math.max(a.rank, b.rank) <= 4;
};
const unary = (name: string, apply: (x: tf.Tensor) => tf.Tensor): Op => ({ name, apply });
const pair = (name: string, apply: (a: tf.Tensor, b: tf.Tensor) => tf.Tensor): Op => ({
  name,
  apply: (a, b) => (broadcastable(a, b) ? apply(a, b) : undefined),
});
// tfjs 4.22 does not sum the gradients of these over broadcast axes.
const alike = (name: string, apply: (a: tf.Tensor, b: tf.Tensor) => tf.Tensor): Op => ({
  name,
  apply: (a, b) => (sameShape(a, b) ? apply(a, b) : undefined),
});
const axial = (name: string, apply: (x: tf.Tensor, axis: number, detail: number) => tf.Tensor | undefined): Op => ({
  name,
  apply: (x, _, detail) => (x.rank === 0 ? undefined : apply(x, detail % x.rank, Math.floor(detail / 7))),
});
const image = (
  name: string,
  apply: (x: tf.Tensor4D, weights: Weights, detail: number) => tf.Tensor | undefined,
): Op => ({
  name,
  apply: (x, _, detail, weights) =>
    x.rank === 4 && x.shape[3] === 4 ? apply(x as tf.Tensor4D, weights, detail) : undefined,
});
/** A function with jumps, of an input; added to a value that has gradients. */
const stepped = (name: string, apply: (x: tf.Tensor) => tf.Tensor): Op => ({
  name,
  apply: (a, _b, _d, _w, { x }) => (sameShape(a, x) ? tf.add(tf.mul(a, 0.5), tf.mul(apply(x), 0.2)) : undefined),
});
const reductions = [tf.sum, tf.mean, tf.max, tf.min];

/** Layers of networks. They fit few values, and are offered more often than other ops for that. */
const layers: readonly Op[] = [
  image('conv3', (x, w, detail) =>
    tf.conv2d(
      x,
      w.kernel as tf.Tensor4D,
      detail % 3 === 0 && x.shape[1] % 2 === 0 && x.shape[2] % 2 === 0 ? 2 : 1,
      'same',
    ),
  ),
  image('conv1', (x, w) => tf.conv2d(x, w.pointwise as tf.Tensor4D, 1, 'valid')),
  image('conv4s2', (x, w) =>
    x.shape[1] % 2 === 0 && x.shape[2] % 2 === 0 ? tf.conv2d(x, w.strided as tf.Tensor4D, 2, 'same') : undefined,
  ),
  image('depthwise', (x, w) => tf.depthwiseConv2d(x, w.depthwise as tf.Tensor4D, 1, 'same')),
  image('pool', (x) =>
    x.shape[1] % 2 === 0 && x.shape[2] % 2 === 0 ? tf.mul(tf.avgPool(x, 2, 2, 'valid'), 2) : undefined,
  ),
  image('batchNorm', (x, w) =>
    tf.batchNorm(
      x,
      w.bias as tf.Tensor1D,
      tf.add(tf.square(w.bias), 0.5) as tf.Tensor1D,
      tf.mul(w.bias, 2) as tf.Tensor1D,
      tf.add(w.bias, 1) as tf.Tensor1D,
    ),
  ),
  image('prelu', (x, w) => tf.prelu(tf.add(x, 0.0137), w.bias)),
  image('enlarge', (x) => tf.image.resizeNearestNeighbor(x, [x.shape[1] * 2, x.shape[2] * 2])),
  image('convTranspose', (x, w) =>
    tf.conv2dTranspose(x, w.transposed as tf.Tensor4D, [x.shape[0], x.shape[1] * 2, x.shape[2] * 2, 2], 2, 'same'),
  ),
];

// Values stay small, and away from the places where a derivative jumps (abs at 0 differs on purpose: Sign there).
const ops: readonly Op[] = [
  unary('sigmoid', (x) => tf.sigmoid(x)),
  unary('tanh', (x) => tf.tanh(x)),
  unary('exp', (x) => tf.exp(tf.tanh(x))),
  unary('log', (x) => tf.log(tf.add(tf.square(tf.tanh(x)), 0.5))),
  unary('sqrt', (x) => tf.sqrt(tf.add(tf.square(tf.tanh(x)), 1))),
  unary('rsqrt', (x) => tf.rsqrt(tf.add(tf.square(tf.tanh(x)), 0.25))),
  unary('reciprocal', (x) => tf.reciprocal(tf.add(tf.square(tf.tanh(x)), 0.5))),
  unary('erf', (x) => tf.erf(x)),
  unary('gelu', (x) => tf.mul(tf.mul(x, 0.5), tf.add(tf.erf(tf.mul(x, Math.SQRT1_2)), 1))),
  unary('sin', (x) => tf.sin(x)),
  unary('cos', (x) => tf.cos(x)),
  unary('relu', (x) => tf.relu(x)),
  unary('softplus', (x) => tf.softplus(x)),
  unary('abs', (x) => tf.abs(tf.add(x, 0.0137))),
  unary('neg', (x) => tf.neg(x)),
  unary('tan', (x) => tf.tan(tf.tanh(x))),
  unary('atan', (x) => tf.atan(tf.mul(x, 2))),
  unary('expm1', (x) => tf.expm1(tf.tanh(x))),
  unary('log1p', (x) => tf.log1p(tf.mul(tf.tanh(x), 0.5))),
  unary('elu', (x) => tf.elu(tf.add(x, 0.0137))),
  unary('selu', (x) => tf.selu(tf.add(x, 0.0137))),
  unary('relu6', (x) => tf.relu6(tf.mul(tf.add(x, 0.0137), 7))),
  unary('leakyRelu', (x) => tf.leakyRelu(tf.add(x, 0.0137), 0.2)),
  unary('clip', (x) => tf.clipByValue(x, -0.4, 0.7)),
  unary('scale', (x) => tf.sub(tf.mul(x, 1.5), 0.25)),
  unary('pow', (x) => tf.pow(tf.add(tf.abs(tf.add(tf.tanh(x), 0.0137)), 0.5), 1.5)),
  pair('add', (a, b) => tf.add(a, b)),
  pair('sub', (a, b) => tf.sub(a, b)),
  pair('mul', (a, b) => tf.mul(tf.tanh(a), b)),
  pair('div', (a, b) => tf.div(a, tf.add(tf.square(tf.tanh(b)), 1))),
  alike('maximum', (a, b) => tf.maximum(a, b)),
  alike('minimum', (a, b) => tf.minimum(a, b)),
  alike('squaredDifference', (a, b) => tf.squaredDifference(tf.tanh(a), tf.tanh(b))),
  alike('atan2', (a, b) => tf.atan2(a, tf.add(tf.square(tf.tanh(b)), 0.5))),
  // Steps are taken of inputs, which are exactly the same on both sides.
  stepped('rounding', (x) => tf.sub(tf.round(tf.mul(x, 4)), tf.mul(tf.floor(tf.mul(x, 3)), tf.ceil(tf.mul(x, 2))))),
  stepped('sign', (x) => tf.sign(tf.sub(x, 0.2))),
  stepped('step', (x) => tf.step(tf.sub(x, 0.2), 0.3)),
  stepped('integer', (x) => tf.cast(tf.cast(tf.mul(x, 9), 'int32'), 'float32')),
  stepped('mod', (x) => tf.mod(x, 0.3)),
  stepped('floorDiv', (x) => tf.mul(tf.floorDiv(tf.mul(x, 5), 0.7), 0.2)),
  stepped('product', (x) => tf.prod(tf.add(x, 0.5), 1, true)),
  stepped('largest', (x) => tf.mul(tf.cast(tf.expandDims(tf.argMax(x, 2), 2), 'float32'), 0.2)),
  stepped('smallest', (x) => tf.mul(tf.cast(tf.expandDims(tf.argMin(x, 1), 1), 'float32'), 0.2)),
  stepped('oneHot', (x) => tf.oneHot(tf.cast(tf.argMax(x, 3), 'int32'), 4, 0.7, -0.3)),
  stepped('logic', (x) =>
    tf.cast(
      tf.logicalOr(tf.logicalNot(tf.greater(x, 0.1)), tf.notEqual(tf.sign(x), tf.sign(tf.reverse(x, 3)))),
      'float32',
    ),
  ),
  stepped('quantifiers', (x) =>
    tf.cast(
      tf.logicalAnd(tf.any(tf.greater(x, 0.8), 1, true), tf.logicalNot(tf.all(tf.less(x, 0.5), 3, true))),
      'float32',
    ),
  ),
  stepped('notNumbers', (x) => {
    const infinite = tf.div(x, tf.relu(x));
    const where = tf.where(tf.isNaN(tf.sqrt(x)), tf.mul(x, 2), tf.where(tf.isInf(infinite), x, tf.neg(x)));
    return tf.where(tf.isFinite(infinite), x, where);
  }),
  // tfjs has no gradient for a condition, so it is made of inputs.
  {
    name: 'where',
    apply: (a, b, _d, _w, { x }) =>
      sameShape(a, x) && sameShape(b, x) ? tf.where(tf.greater(x, 0.1), b, tf.mul(a, 2)) : undefined,
  },
  {
    name: 'whereRow',
    apply: (a, b, _d, _w, { mask }) =>
      sameShape(a, b) && a.rank >= 2 && a.shape.at(-1) === 4 && a.shape.at(-2) === 6
        ? tf.where(tf.less(tf.broadcastTo(mask, a.shape), 0.2), b, a)
        : undefined,
  },
  axial('reduce', (x, axis, detail) => reductions[detail % 4]!(x, axis, detail % 8 < 4)),
  axial('reduceAll', (x, axis, detail) => reductions[detail % 2]!(x, [...new Set([axis, x.rank - 1])], true)),
  axial('normalise', (x) => {
    const centred = tf.sub(x, tf.mean(x, -1, true));
    return tf.mul(centred, tf.rsqrt(tf.add(tf.mean(tf.square(centred), -1, true), 0.1)));
  }),
  unary('softmax', (x) => (x.rank === 0 ? tf.neg(x) : tf.softmax(x))),
  unary('logSoftmax', (x) => (x.rank === 0 ? tf.neg(x) : tf.logSoftmax(x))),
  // Last axis only: the gradient of tfjs 4.22 transposes its result for any other.
  axial('cumsum', (x, _, detail) => tf.mul(tf.cumsum(x, x.rank - 1, detail % 2 === 0, detail % 4 < 2), 0.3)),
  axial('reverse', (x, axis) => tf.reverse(x, axis)),
  axial('tile', (x, axis, detail) =>
    tf.tile(
      x,
      x.shape.map((_, i) => (i === axis ? 1 + (detail % 3) : 1)),
    ),
  ),
  axial('slice', (x, axis, detail) => {
    const begin = detail % x.shape[axis]!;
    return tf.slice(
      x,
      x.shape.map((_, i) => (i === axis ? begin : 0)),
      x.shape.map((length, i) => (i === axis ? 1 + (detail % (length - begin)) : length)),
    );
  }),
  axial('pad', (x, axis, detail) =>
    tf.pad(
      x,
      x.shape.map((_, i): [number, number] => (i === axis ? [detail % 3, detail % 2] : [0, 0])),
      (detail % 5) / 4,
    ),
  ),
  // tfjs cannot differentiate a split into one part.
  axial('split', (x, axis, detail) =>
    x.shape[axis]! < 2 ? undefined : tf.split(x, [1, x.shape[axis]! - 1], axis)[detail % 2]!,
  ),
  axial('unstack', (x, axis, detail) => {
    if (x.shape[axis]! < 2) return undefined;
    const parts = tf.unstack(x, axis);
    return tf.add(parts[detail % parts.length]!, parts[0]!);
  }),
  axial('expandDims', (x, axis) => (x.rank < 4 ? tf.expandDims(x, axis) : undefined)),
  axial('transpose', (x, axis, detail) => {
    const order = x.shape.map((_, i) => (i + axis) % x.rank);
    return tf.transpose(x, detail % 2 === 0 ? order : order.reverse());
  }),
  axial('reshape', (x, axis) =>
    tf.reshape(x, [...x.shape.slice(0, axis), x.shape.slice(axis).reduce((p, n) => p * n, 1)]),
  ),
  {
    name: 'gather',
    apply: (x, _, detail, _w, { index }) => {
      const axis = detail % Math.max(x.rank, 1);
      return x.rank > 0 && x.shape[axis]! >= 4 ? tf.gather(x, index as tf.Tensor1D, axis) : undefined;
    },
  },
  // tfjs has no gradient for these, so they are taken of inputs.
  {
    name: 'mirrorPad',
    apply: (_a, _b, detail, _w, { mask }) =>
      tf.mirrorPad(mask, [[detail % 4, 2], [1, detail % 3]], detail % 2 === 0 ? 'reflect' : 'symmetric'), // prettier-ignore
  },
  {
    name: 'stridedSlice',
    apply: (_a, _b, detail, _w, { x }) =>
      tf.stridedSlice(x, [0, detail % 5, 5, 0], [2, 6, detail % 4, 4], [1, 1 + (detail % 3), -1 - (detail % 2), 1]),
  },
  {
    name: 'gatherNd',
    apply: (_a, _b, _d, _w, { x, index }) =>
      tf.gatherND(x!, tf.minimum(tf.reshape(index!, [3, 1]), tf.scalar(1, 'int32'))),
  },
  {
    name: 'scatterNd',
    apply: (_a, _b, _d, _w, { mask, index }) =>
      tf.scatterND(tf.reshape(index!, [3, 1]), tf.slice(mask!, [0, 0], [3, 4]), [5, 4]),
  },
  {
    name: 'concat',
    apply: (a, b, detail) => (sameShape(a, b) && a.rank > 0 ? tf.concat([a, b, a], detail % a.rank) : undefined),
  },
  {
    name: 'stack',
    apply: (a, b, detail) => (sameShape(a, b) && a.rank < 4 ? tf.stack([a, b], detail % (a.rank + 1)) : undefined),
  },
  {
    name: 'matMulSelf',
    apply: (x, _, detail) =>
      x.rank >= 2 ? tf.mul(tf.matMul(x, x, detail % 2 === 0, detail % 2 === 1), 0.2) : undefined,
  },
  {
    name: 'matMulShared',
    apply: (a, b, detail) =>
      a.rank === 3 && b.rank === 3 && a.shape[0] === b.shape[0] && a.shape[2] === b.shape[2]
        ? tf.mul(tf.matMul(a, b, false, true), (detail % 3) / 4)
        : undefined,
  },
  {
    name: 'dense',
    apply: (x, _b, _d, w) =>
      x.rank >= 2 && x.shape.at(-1) === 4
        ? tf.reshape(tf.matMul(tf.reshape(x, [-1, 4]) as tf.Tensor2D, w.dense as tf.Tensor2D), [
            ...x.shape.slice(0, -1),
            5,
          ])
        : undefined,
  },
  { name: 'bias', apply: (x, _b, _d, w) => (x.shape.at(-1) === 4 ? tf.add(x, w.bias) : undefined) },
  ...layers,
  ...layers,
];

export interface RandomProgram {
  readonly definition: ProgramDefinition;
  /** The ops that were taken; filled when the program has run once. */
  readonly taken: string[];
}

/** Every list is a program. Each weight takes part in the loss. */
export function randomProgram(list: readonly Choice[]): RandomProgram {
  const taken: string[] = [];
  const fn: ProgramDefinition['fn'] = (weights, inputs) => {
    taken.length = 0;
    const values = [tf.add(inputs['x']!, weights['bias']!), inputs['y']!, inputs['mask']!, weights['scale']!];
    const unread = new Set<tf.Tensor>();
    for (const choice of list) {
      const made = takeFirstThatFits(choice, values, weights as Weights, inputs as Inputs);
      if (made === undefined) continue;
      taken.push(made.name);
      values.push(made.value);
      made.operands.forEach((operand) => unread.delete(operand));
      unread.add(made.value);
    }
    const last = values.at(-1)!;
    // Whatever nothing else reads: so every op is on the way of the gradients, and no value has one more reader than it would have.
    const ends = [...unread].map((value) => tf.mean(tf.square(tf.sub(value, 0.3))));
    const regular = Object.values(weights).reduce(
      (sum, weight) => tf.add(sum, tf.mean(tf.square(weight))),
      tf.scalar(0),
    );
    return { last: tf.add(last, 0), loss: tf.addN([...ends, tf.mul(regular, 0.1)]) };
  };
  return { definition: { name: 'random', weights: weightSpecs, inputs: inputSpecs, fn, gradientOf: 'loss' }, taken };
}

/** The chosen op with the chosen operands, or the next op and second operand, cyclically, that go together. */
function takeFirstThatFits(
  choice: Choice,
  values: readonly tf.Tensor[],
  weights: Weights,
  inputs: Inputs,
): { name: string; value: tf.Tensor; operands: tf.Tensor[] } | undefined {
  const first = values[values.length - 1 - (choice.first % values.length)]!;
  for (let i = 0; i < ops.length; i++) {
    const op = ops[(choice.op + i) % ops.length]!;
    for (let j = 0; j < values.length; j++) {
      const second = values[(choice.second + j) % values.length]!;
      const value = op.apply(first, second, choice.detail, weights, inputs);
      if (value !== undefined && value.size > 0 && value.size <= maxSize)
        return { name: op.name, value, operands: [first, second] };
    }
  }
  return undefined;
}

/** Programs that take every op of an image that has gradients, eight ops in each: what chance might leave out. */
export const examples: readonly Choice[][] = Array.from({ length: Math.ceil(ops.length / 8) }, (_, part) =>
  // Four values are there at first, and each op adds one; the oldest of all is the image, the second one another image.
  Array.from({ length: 8 }, (_, i) => ({ op: 8 * part + i, first: 3 + i, second: 1, detail: part + 3 * i })),
);

export const opNames: readonly string[] = [...new Set(ops.map((op) => op.name))];
