import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { float, runEager, runLowered, sampleValues, worstError } from '../oracle.fixture.js';
import { trace } from '../../trace/index.js';
import type { ProgramDefinition } from '../../types.js';
import { plainOptions } from '../options.js';
import type { LoweringOptions } from '../options.js';
import { summarize } from '../summary.js';

interface Case {
  readonly what: string;
  /** NHWC. */
  readonly image: readonly [number, number, number, number];
  /** HWIO, or [h, w, channels, multiplier]. */
  readonly filter: readonly [number, number, number, number];
  readonly stride?: number;
  readonly pad?: 'same' | 'valid' | number;
  readonly depthwise?: boolean;
  readonly dilation?: number;
  /** Strategies expected by default: forward, gradient of the image, gradient of the filter. */
  readonly strategies: readonly [string, string, string];
}

const winograd = ['winograd-4', 'winograd-4', 'winograd-4'] as const;
const smallTiles = ['winograd-2', 'winograd-2', 'winograd-2'] as const;
const products = ['plain', 'plain', 'im2col-product'] as const;
const phases = ['strided-phases', 'strided-phases', 'strided-phases'] as const;
const cases: readonly Case[] = [
  { what: '3x3 on whole tiles', image: [2, 12, 12, 8], filter: [3, 3, 8, 8], strategies: winograd },
  { what: '3x3 on partial tiles', image: [2, 7, 9, 8], filter: [3, 3, 8, 4], strategies: smallTiles },
  { what: '3x3 on maps smaller than a tile', image: [24, 3, 3, 32], filter: [3, 3, 32, 32], strategies: winograd },
  { what: '3x3 of too few tiles', image: [3, 2, 3, 4], filter: [3, 3, 4, 4], strategies: products },
  {
    what: '3x3 of many channels on a small map',
    image: [1, 2, 3, 100],
    filter: [3, 3, 100, 104],
    strategies: products,
  },
  {
    what: '3x3 of few tiles under a large filter',
    image: [2, 7, 7, 64],
    filter: [3, 3, 64, 128],
    strategies: smallTiles,
  },
  {
    what: '3x3 of more tiles under the same filter',
    image: [4, 7, 7, 64],
    filter: [3, 3, 64, 128],
    strategies: winograd,
  },
  {
    what: '3x3 of one channel',
    image: [2, 6, 6, 1],
    filter: [3, 3, 1, 8],
    strategies: ['plain', 'plain', 'im2col-product'],
  },
  {
    what: '3x3 of one channel on a large map',
    image: [2, 21, 22, 1],
    filter: [3, 3, 1, 2],
    strategies: ['plain', 'plain', 'factored-product'],
  },
  {
    what: '3x3 without padding',
    image: [2, 8, 8, 4],
    filter: [3, 3, 4, 4],
    pad: 'valid',
    strategies: ['plain', 'plain', 'im2col-product'],
  },
  {
    what: '3x3, stride 2, odd map',
    image: [2, 7, 7, 4],
    filter: [3, 3, 4, 4],
    stride: 2,
    strategies: ['plain', 'plain', 'im2col-product'],
  },
  {
    what: '3x3, dilation 2',
    image: [2, 8, 8, 4],
    filter: [3, 3, 4, 4],
    dilation: 2,
    strategies: ['plain', 'plain', 'plain'],
  },
  { what: '1x1', image: [2, 5, 6, 4], filter: [1, 1, 4, 12], strategies: ['plain', 'plain', 'pointwise-product'] },
  {
    what: '1x1, stride 2',
    image: [2, 6, 6, 4],
    filter: [1, 1, 4, 4],
    stride: 2,
    strategies: ['plain', 'plain', 'im2col-product'],
  },
  { what: '4x4, stride 2 on whole tiles', image: [2, 8, 8, 4], filter: [4, 4, 4, 8], stride: 2, strategies: phases },
  { what: '4x4, stride 2 on partial tiles', image: [2, 6, 14, 8], filter: [4, 4, 8, 4], stride: 2, strategies: phases },
  {
    what: '4x4, stride 2, odd map',
    image: [2, 7, 7, 4],
    filter: [4, 4, 4, 4],
    stride: 2,
    strategies: ['plain', 'plain', 'im2col-product'],
  },
  {
    what: '5x2, uneven padding',
    image: [2, 6, 5, 3],
    filter: [5, 2, 3, 4],
    strategies: ['plain', 'plain', 'im2col-product'],
  },
  {
    what: 'depthwise 7x7',
    image: [2, 8, 9, 4],
    filter: [7, 7, 4, 1],
    depthwise: true,
    strategies: ['plain', 'plain', 'toeplitz-product'],
  },
  {
    what: 'depthwise 7x7 in bands',
    image: [2, 32, 6, 2],
    filter: [7, 7, 2, 1],
    depthwise: true,
    strategies: ['plain', 'plain', 'toeplitz-product'],
  },
  {
    what: 'depthwise 7x7 on a map smaller than the filter',
    image: [2, 3, 4, 2],
    filter: [7, 7, 2, 1],
    depthwise: true,
    strategies: ['plain', 'plain', 'toeplitz-product'],
  },
  {
    what: 'depthwise 4x3, uneven padding',
    image: [2, 6, 5, 3],
    filter: [4, 3, 3, 1],
    depthwise: true,
    strategies: ['plain', 'plain', 'toeplitz-product'],
  },
  {
    what: 'depthwise 3x3 with multiplier',
    image: [2, 6, 5, 3],
    filter: [3, 3, 3, 2],
    depthwise: true,
    strategies: ['plain', 'plain', 'plain'],
  },
  {
    what: 'depthwise 3x3, stride 2',
    image: [2, 6, 7, 3],
    filter: [3, 3, 3, 1],
    depthwise: true,
    stride: 2,
    strategies: ['plain', 'plain', 'plain'],
  },
];

/** The convolution, and both gradients through a weighted sum of its outputs. Image and filter are weights. */
function program({
  what,
  image,
  filter,
  stride = 1,
  pad = 'same',
  depthwise = false,
  dilation = 1,
}: Case): ProgramDefinition {
  const convolve = (x: tf.Tensor, w: tf.Tensor): tf.Tensor =>
    depthwise
      ? tf.depthwiseConv2d(x as tf.Tensor4D, w as tf.Tensor4D, stride, pad as 'same', 'NHWC', dilation)
      : tf.conv2d(x as tf.Tensor4D, w as tf.Tensor4D, stride, pad as 'same', 'NHWC', dilation);
  const shape = tf.tidy(() => convolve(tf.zeros([...image]), tf.zeros([...filter])).shape);
  return {
    name: what,
    weights: { image: float(...image), filter: float(...filter), bias: float(shape[3]!) },
    inputs: { dy: float(...shape) },
    fn: ({ image, filter, bias }, { dy }) => {
      const result = tf.add(convolve(image!, filter!), bias!);
      return { result, loss: tf.sum(tf.mul(result, dy!)) };
    },
    gradientOf: 'loss',
  };
}

const variants: readonly (readonly [string, LoweringOptions])[] = [
  ['default', {}],
  ['plain ONNX', plainOptions],
  ['no microsoft operators', { capabilities: { microsoftOps: false } }],
  ['bands as small as they get', { bandBytes: 1 }],
];

describe.each(cases)('convolution $what', (testCase) => {
  const definition = program(testCase);
  const weights = sampleValues(definition.weights);
  const inputs = sampleValues(definition.inputs);
  it('gives the result and gradients of eager tfjs, however it is computed', async () => {
    // tfjs has no gradient for dilated filters: only the forward pass is compared.
    const compared: ProgramDefinition =
      testCase.dilation === undefined ? definition : { ...definition, gradientOf: undefined as never };
    const expected = await runEager(compared, weights, inputs);
    for (const [name, options] of variants) {
      const actual = await runLowered(compared, weights, inputs, options);
      expect({ name, close: worstError(actual, expected) < 1e-5 }, `${worstError(actual, expected)}`).toEqual({
        name,
        close: true,
      });
    }
  });

  if (testCase.dilation !== undefined) return;

  it(`is computed as ${testCase.strategies.join(', ')}`, () => {
    const { convolutions } = summarize(trace(definition));
    const chosen = (suffix: string): string | undefined => convolutions.find(({ op }) => op.endsWith(suffix))?.strategy;
    const forward = convolutions.find(({ op }) => !op.includes('Backprop'))?.strategy;
    expect([forward, chosen('BackpropInput'), chosen('BackpropFilter')]).toEqual(testCase.strategies);
  });
});

describe('the filter gradient of a convolution of an input, which has no gradient itself', () => {
  it.each(cases.filter(({ strategies }) => strategies[2].startsWith('winograd')))(
    'equals that of eager tfjs: $what',
    async (testCase) => {
      const { fn, ...rest } = program(testCase);
      const { image, ...weights } = rest.weights;
      const definition: ProgramDefinition = {
        ...rest,
        weights,
        inputs: { ...rest.inputs, image: image! },
        fn: (filters, { image, ...inputs }) => fn({ ...filters, image: image! }, inputs),
      };
      const values = [sampleValues(definition.weights), sampleValues(definition.inputs)] as const;
      const expected = await runEager(definition, ...values);
      expect(worstError(await runLowered(definition, ...values, {}), expected)).toBeLessThan(1e-5);
    },
  );
});

describe('the choice of tiles', () => {
  const chosen = (batch: number, gradientOf?: 'loss'): string[] => {
    const { gradientOf: _, ...definition } = program({
      what: 'few tiles',
      image: [batch, 7, 7, 64],
      filter: [3, 3, 64, 128],
      strategies: winograd,
    });
    const graph = trace({ ...definition, ...(gradientOf !== undefined && { gradientOf }) });
    return summarize(graph).convolutions.map(({ strategy }) => strategy);
  };

  it('depends on the batch in training programs only: rows of others keep their bits in batches of any size', () => {
    expect(new Set(chosen(2, 'loss'))).toEqual(new Set(['winograd-2']));
    expect(new Set(chosen(8, 'loss'))).toEqual(new Set(['winograd-4']));
    for (const batch of [1, 2, 8]) expect(chosen(batch)).toEqual(['winograd-2']);
  });
});

describe('constant filters', () => {
  const chosen = (size: number, channels: number): string | undefined => {
    const graph = trace({
      name: 'constant filter',
      weights: {},
      inputs: { x: float(1, size, size, channels) },
      fn: (_, { x }) => {
        const values = Float32Array.from({ length: 9 * channels * channels }, (_, i) => i % 7);
        return { y: tf.conv2d(x as tf.Tensor4D, tf.tensor4d(values, [3, 3, channels, channels]), 1, 'same') };
      },
    });
    return summarize(graph).convolutions[0]?.strategy;
  };

  it('are left to ONNX Runtime where they are small, and transformed where they are not', () => {
    expect(chosen(28, 32)).toBe('plain');
    expect(chosen(7, 100)).toBe('plain');
    expect(chosen(32, 100)).toBe('winograd-4');
    expect(chosen(32, 304)).toBe('winograd-4');
    // Tiles of 4x4 results would keep 36 numbers of every 9, and save too little for that.
    expect(chosen(8, 304)).toBe('winograd-2');
    expect(chosen(16, 512)).toBe('winograd-2');
  });
});
