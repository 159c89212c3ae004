import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { supportedKernels } from '../graph/index.js';
import { supportedKernels as recordedKernels, trace } from '../trace/index.js';
import type { ProgramDefinition } from '../types.js';
import { notDocumentedForCuda } from '../kinds/cuda-operators.js';
import { plainOptions } from './options.js';
import type { LoweringOptions } from './options.js';
import { lower } from './lower.js';
import { float, int, runEager, runLowered, sampleValues, worstError } from './oracle.fixture.js';

type T = tf.Tensor;
/** One program per family: many outputs, one session. */
interface Family {
  readonly name: string;
  readonly inputs: ProgramDefinition['inputs'];
  readonly fn: (inputs: Record<string, T>) => Record<string, T>;
}

const asFloat = (x: T): T => tf.cast(x, 'float32');
/** NHWC values that a convolution leaves in another axis order. */
const conv = (x: T, filter: T): tf.Tensor4D => tf.conv2d(x as tf.Tensor4D, filter as tf.Tensor4D, 1, 'same');

const families: readonly Family[] = [
  {
    name: 'unary',
    inputs: { x: float(3, 5) },
    fn: ({ x }) => ({
      abs: tf.abs(x!), ceil: tf.ceil(x!), cos: tf.cos(x!), elu: tf.elu(x!), erf: tf.erf(x!), exp: tf.exp(x!), floor: tf.floor(x!),
      log: tf.log(tf.add(tf.abs(x!), 0.1)), reciprocal: tf.reciprocal(tf.add(x!, 3)), relu: tf.relu(x!), round: tf.round(tf.mul(x!, 3)), sigmoid: tf.sigmoid(x!),
      sign: tf.sign(x!), sin: tf.sin(x!), softplus: tf.softplus(x!), sqrt: tf.sqrt(tf.abs(x!)), tan: tf.tan(x!), tanh: tf.tanh(x!), leaky: tf.leakyRelu(x!, 0.3),
      step: tf.step(x!, 0.5), clipped: tf.clipByValue(x!, -0.5, 0.25), selu: tf.selu(x!), relu6: tf.relu6(tf.mul(x!, 9)),
      expm1: tf.expm1(x!), tiny: tf.expm1(tf.mul(x!, 1e-6)), log1p: tf.log1p(tf.mul(x!, 0.3)), log1pTiny: tf.log1p(tf.mul(x!, 1e-9)), atan: tf.atan(tf.mul(x!, 3)), atanTiny: tf.atan(tf.mul(x!, 1e-6)),
    }), // prettier-ignore
  },
  {
    name: 'binary with broadcasting',
    inputs: { x: float(3, 1, 5), y: float(4, 1), i: int(3, 1, 5), j: int(4, 5) },
    fn: ({ x, y, i, j }) => ({
      add: tf.add(x!, y!), sub: tf.sub(x!, y!), mul: tf.mul(x!, y!), div: tf.div(x!, tf.add(y!, 4)), max: tf.maximum(x!, y!), min: tf.minimum(x!, y!),
      pow: tf.pow(tf.abs(x!), y!), mod: tf.mod(x!, tf.add(y!, 2)), floorDiv: tf.floorDiv(tf.mul(x!, 10), tf.add(y!, 2)), difference: tf.squaredDifference(x!, y!), angle: tf.atan2(x!, y!),
      intAdd: tf.add(i!, j!), intMul: tf.mul(tf.sub(i!, 1), j!), intMod: tf.mod(tf.sub(i!, 5), tf.add(j!, 1)), intDiv: tf.floorDiv(tf.sub(i!, 5), tf.add(j!, 1)), intNeg: tf.neg(j!),
    }), // prettier-ignore
  },
  {
    name: 'comparisons and selection',
    inputs: { x: float(3, 5), y: float(5), i: int(3, 5), j: int(5) },
    fn: ({ x, y, i, j }) => ({
      greater: asFloat(tf.greater(x!, y!)), greaterEqual: asFloat(tf.greaterEqual(i!, j!)), less: asFloat(tf.less(x!, y!)), lessEqual: asFloat(tf.lessEqual(i!, j!)),
      equal: asFloat(tf.equal(i!, j!)), notEqual: tf.cast(tf.notEqual(i!, j!), 'int32'), and: asFloat(tf.logicalAnd(tf.greater(x!, 0), tf.equal(i!, j!))),
      or: asFloat(tf.logicalOr(tf.greater(x!, 0), tf.equal(i!, j!))), not: asFloat(tf.logicalNot(tf.greater(x!, 0))),
      where: tf.where(tf.greater(x!, 0), x!, tf.mul(x!, 0.1)), any: asFloat(tf.any(tf.greater(x!, 0.9), 1)), all: asFloat(tf.all(tf.greater(x!, -1), 0)),
      truncated: tf.cast(tf.mul(x!, 5), 'int32'), truth: asFloat(tf.cast(tf.relu(x!), 'bool')), hot: tf.oneHot(j as tf.Tensor1D, 4, 2, -1),
    }), // prettier-ignore
  },
  {
    name: 'values that are not finite',
    inputs: { x: float(3, 5), i: int(3) },
    fn: ({ x, i }) => {
      const [nan, infinite] = [tf.log(x!), tf.div(1, tf.relu(x!))];
      return {
        nan: asFloat(tf.isNaN(nan)), notNan: asFloat(tf.isNaN(infinite)), infinite: asFloat(tf.isInf(infinite)), negative: asFloat(tf.isInf(tf.neg(infinite))),
        finite: asFloat(tf.isFinite(infinite)), finiteNan: asFloat(tf.isFinite(nan)), integer: asFloat(tf.isFinite(i!)), step: asFloat(tf.isNaN(tf.step(nan))),
        atan: tf.atan(infinite), atanNan: asFloat(tf.isNaN(tf.atan(nan))), atanNegative: tf.atan(tf.neg(infinite)),
      }; // prettier-ignore
    },
  },
  {
    name: 'reductions',
    inputs: { x: float(3, 4, 5) },
    fn: ({ x }) => ({
      sum: tf.sum(x!), sumKept: tf.sum(x!, [0, 2], true), mean: tf.mean(x!, 1), max: tf.max(x!, -1), min: tf.min(x!, [1, 2]), prod: tf.prod(x!, 2),
      argMax: tf.argMax(x!, 1), argMin: tf.argMin(x!, 2), cumulative: tf.cumsum(x!, 1), reversed: tf.cumsum(x!, 2, true, true),
      softmax: tf.softmax(x!), logSoftmax: tf.logSoftmax(x!), norm: tf.norm(x!, 2, 1),
    }), // prettier-ignore
  },
  {
    name: 'movement',
    inputs: { x: float(3, 4, 5), y: float(3, 2, 5), m: float(6, 4, 4), t: int(3), ij: int(4, 2) },
    fn: ({ x, y, m, t, ij }) => ({
      gathered: tf.matMul(tf.gather(m!, t as tf.Tensor1D), x!), gatheredColumns: tf.gather(x!, t as tf.Tensor1D, 2), gatherTable: tf.gather(x!, ij!, 0), gatherNd: tf.gatherND(x!, ij!),
      scattered: tf.scatterND(ij!, tf.slice(tf.reshape(x!, [12, 5]), [0, 0], [4, 5]), [3, 3, 5]), segments: tf.unsortedSegmentSum(x!, t as tf.Tensor1D, 4),
      stacked: tf.stack(tf.unstack(x!, 1).reverse(), 0), parts: tf.concat(tf.split(x!, [1, 3], 1).reverse(), 1), joined: tf.concat([x!, y!], 1),
      padded: tf.pad(x!, [[0, 0], [1, 2], [3, 0]], 0.5), reflected: tf.mirrorPad(x!, [[0, 0], [2, 1], [1, 3]], 'reflect'), symmetric: tf.mirrorPad(x!, [[1, 0], [2, 2], [0, 0]], 'symmetric'),
      tiled: tf.tile(x!, [2, 1, 3]), blocks: tf.reshape(tf.tile(tf.reshape(x!, [3, 4, 1, 5, 1]), [1, 1, 2, 1, 2]), [3, 8, 10]), reversed: tf.reverse(x!, [0, 2]),
      strided: tf.stridedSlice(x!, [0, 3, 4], [3, 0, 0], [2, -1, -2]), transposed: tf.transpose(x!, [2, 0, 1]), wide: tf.broadcastTo(tf.slice(x!, [0, 0, 0], [3, 1, 5]), [3, 6, 5]),
      squeezed: tf.expandDims(tf.squeeze(tf.slice(x!, [1, 0, 0], [1, 4, 5])), 1),
    }), // prettier-ignore
  },
  {
    name: 'matrix products',
    inputs: {
      a: float(2, 3, 4, 5),
      b: float(2, 3, 5, 6),
      c: float(3, 6, 5),
      w: float(5, 7),
      image: float(2, 3, 4, 4),
      f: float(1, 1, 4, 4),
    },
    fn: ({ a, b, c, w, image, f }) => {
      const heads = tf.transpose(tf.reshape(conv(image!, f!), [2, 12, 2, 2]), [0, 2, 3, 1]); // channels first by now
      return {
        plain: tf.matMul(a!, b!), both: tf.matMul(b!, a!, true, true), broadcast: tf.matMul(a!, c!, false, true), scaled: tf.matMul(tf.mul(a!, 0.5), b!),
        swapped: tf.matMul(tf.transpose(a!, [0, 1, 3, 2]), a!), moved: tf.matMul(tf.transpose(a!, [1, 0, 2, 3]), tf.transpose(b!, [1, 0, 2, 3])), shared: tf.matMul(a!, w! as T),
        attention: tf.matMul(heads, heads, false, true), dot: tf.dot(tf.reshape(w!, [35]), tf.reshape(tf.mul(w!, 2), [35])),
      }; // prettier-ignore
    },
  },
  {
    name: 'several in one',
    inputs: {
      a: float(3, 4),
      b: float(4, 5),
      bias: float(5),
      alpha: float(5),
      x: float(2, 6, 6, 4),
      f: float(3, 3, 4, 5),
      d: float(3, 3, 4, 1),
      c: float(4),
      v: float(4),
    },
    fn: ({ a, b, bias, alpha, x, f, d, c, v }) => {
      const product = (activation: tf.fused.Activation, more = {}) => tf.fused.matMul({ a: a!, b: b!, bias: bias!, activation, ...more });
      const image = { x: x as tf.Tensor4D, strides: 1, pad: 'same' } as const;
      return {
        linear: product('linear'), relu: product('relu'), relu6: product('relu6'), elu: product('elu'), sigmoid: product('sigmoid'),
        leaky: product('leakyrelu', { leakyreluAlpha: 0.3 }), prelu: product('prelu', { preluActivationWeights: alpha! }), turned: tf.fused.matMul({ a: b!, b: a!, transposeA: true, transposeB: true }),
        conv: tf.fused.conv2d({ ...image, filter: f as tf.Tensor4D, bias: bias!, activation: 'relu' }), depthwise: tf.fused.depthwiseConv2d({ ...image, filter: d as tf.Tensor4D, bias: c!, activation: 'prelu', preluActivationWeights: c! }),
        norm: tf.batchNorm(x as tf.Tensor4D, v as tf.Tensor1D, tf.abs(c!) as tf.Tensor1D), normScaled: tf.batchNorm(x as tf.Tensor4D, v as tf.Tensor1D, tf.abs(c!) as tf.Tensor1D, c as tf.Tensor1D, v as tf.Tensor1D, 0.1),
        rectified: tf.prelu(x!, c!),
      };
    }, // prettier-ignore
  },
  {
    name: 'values that a convolution left channels first',
    inputs: { x: float(2, 6, 6, 4), f: float(3, 3, 4, 8), t: int(2), v: float(8) },
    fn: ({ x, f, t, v }) => {
      const y = conv(x!, f!);
      return {
        y, bias: tf.add(y, v!), sum: tf.sum(y, [1, 2]), channelMean: tf.mean(y, 3, true), flat: tf.reshape(y, [2, 288]), rows: tf.reshape(y, [12, 48]), pixels: tf.reshape(y, [2, 36, 2, 4]),
        transposed: tf.transpose(tf.reshape(y, [2, 36, 8]), [0, 2, 1]), slice: tf.slice(y, [1, 0, 2, 3], [1, 6, 3, 4]), padded: tf.pad(y, [[0, 0], [1, 0], [0, 2], [0, 0]]), softmax: tf.softmax(tf.reshape(y, [2, 36, 8]), 2),
        joined: tf.concat([y, tf.concat([x!, x!], 3)], 3), gathered: tf.gather(y, t as tf.Tensor1D, 3), mixed: tf.mul(y, tf.reshape(v!, [1, 1, 8])), scalar: tf.add(y, tf.sum(v!)), reversed: tf.reverse(y, 3),
        strided: tf.stridedSlice(y, [0, 0, 0, 0], [2, 6, 6, 8], [1, 2, 3, 4]), tiled: tf.tile(y, [1, 1, 2, 1]), wide: tf.add(tf.broadcastTo(tf.sum(y, 3, true), [2, 6, 6, 8]), 1),
        larger: tf.image.resizeNearestNeighbor(y, [12, 18]), uneven: tf.image.resizeNearestNeighbor(y, [4, 9]), smaller: tf.avgPool(y, 2, 2, 'valid'), cumulative: tf.cumsum(y, 3),
      }; // prettier-ignore
    },
  },
];

const optionSets: readonly (readonly [string, LoweringOptions])[] = [
  ['default options', {}],
  ['plain ONNX', plainOptions],
];

describe.each(optionSets)('lowering with %s', (_name, options) => {
  it.each(families)('gives the values of eager tfjs: $name', async ({ name, inputs, fn }) => {
    const program: ProgramDefinition = { name, weights: {}, inputs, fn: (_weights, tensors) => fn(tensors) };
    const values = sampleValues(inputs);
    const [actual, expected] = [await runLowered(program, {}, values, options), await runEager(program, {}, values)];
    const errors = Object.fromEntries(
      Object.keys(expected).map((key) => [key, worstError({ [key]: actual[key]! }, { [key]: expected[key]! })]),
    );
    expect(Object.entries(errors).filter(([, error]) => error > 4e-6)).toEqual([]);
  });
});

describe('gradients of operations', () => {
  it('are those of eager tfjs', async () => {
    const program: ProgramDefinition = {
      name: 'gradients',
      weights: { a: float(2, 3, 4), b: float(4), c: float(2, 3, 4), d: float(2, 4, 4, 2) },
      inputs: { t: int(5) },
      fn: ({ a, b, c, d }, { t }) => {
        const scores = tf.softmax(tf.matMul(tf.add(a!, b!), c!, false, true));
        const rows = tf.gather(tf.mean(tf.mul(tf.tanh(scores), 3), 0), t as tf.Tensor1D);
        const bent = tf.mean(tf.elu(c!));
        const padded = tf.abs(tf.pad(tf.slice(c!, [0, 0, 1], [2, 3, 2]), [[0, 0], [1, 0], [0, 1]]));
        const norm = tf.div(a!, tf.sqrt(tf.add(tf.mean(tf.square(a!), -1, true), 1e-5)));
        const pooled = tf.avgPool(d as tf.Tensor4D, 2, 2, 'valid');
        const { mean, variance } = tf.moments(d!, [0, 1, 2]);
        const normed = tf.batchNorm(tf.prelu(d!, tf.mean(d!, [0, 1, 2])) as tf.Tensor4D, mean as tf.Tensor1D, variance as tf.Tensor1D, tf.sum(d!, [0, 1, 2]) as tf.Tensor1D, tf.max(d!, [0, 1, 2]) as tf.Tensor1D);
        return { loss: tf.addN([bent, tf.sum(rows), tf.mean(padded), tf.mean(tf.erf(norm)), tf.sum(tf.square(pooled)), tf.mean(tf.square(normed))]) };
      }, // prettier-ignore
      gradientOf: 'loss',
    };
    const weights = sampleValues(program.weights);
    const inputs = sampleValues(program.inputs);
    const expected = await runEager(program, weights, inputs);
    expect(worstError(await runLowered(program, weights, inputs), expected)).toBeLessThan(4e-6);
  });

  it('of nearest-neighbour resizing sum each pixel over its copies', async () => {
    // No eager oracle: tfjs' cpu kernel is wrong for batches larger than 1.
    const program: ProgramDefinition = {
      name: 'resize gradient',
      weights: { x: float(2, 2, 2, 1) },
      inputs: { dy: float(2, 4, 4, 1) },
      fn: ({ x }, { dy }) => ({ loss: tf.sum(tf.mul(tf.image.resizeNearestNeighbor(x as tf.Tensor4D, [4, 4]), dy!)) }),
      gradientOf: 'loss',
    };
    const dy = Float32Array.from({ length: 32 }, (_, i) => i);
    const result = await runLowered(program, { x: new Float32Array(8) }, { dy });
    expect([...result['grad/x']!]).toEqual([10, 18, 42, 50, 74, 82, 106, 114]);
  });
});

describe('without operators of the CPU provider alone', () => {
  it.each(families)('only operators that CUDA documents: $name', ({ name, inputs, fn }) => {
    const program: ProgramDefinition = { name, weights: {}, inputs, fn: (_weights, tensors) => fn(tensors) };
    const capabilities = { microsoftOps: false, blockedConv: false } as const;
    expect(() => lower(trace(program), { capabilities, missing: notDocumentedForCuda })).not.toThrow();
  });
});

describe('coverage', () => {
  it('includes every kernel that tracing records in these programs', () => {
    const recorded = families.flatMap(({ name, inputs, fn }) =>
      trace({ name, weights: {}, inputs, fn: (_weights, tensors) => fn(tensors) }).nodes.map((node) => node.op),
    );
    expect([...new Set(recorded)].filter((op) => !supportedKernels.includes(op))).toEqual([]);
    expect(new Set(recorded).size).toBeGreaterThan(45);
  });

  it('includes every kernel that can be recorded and is not recorded in terms of others', () => {
    const composed =
      'AddN ExpandDims Fill FusedBatchNorm FusedConv2D FusedDepthwiseConv2D LinSpace OnesLike Pack Prelu Range SplitV Unpack ZerosLike _FusedMatMul'.split(
        ' ',
      );
    const recorded = recordedKernels().map(({ kernel }) => kernel);
    expect(recorded.filter((op) => !supportedKernels.includes(op) && !composed.includes(op))).toEqual([]);
  });
});
