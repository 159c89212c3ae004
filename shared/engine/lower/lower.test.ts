import { createHash } from 'node:crypto';
import * as tf from '@tensorflow/tfjs-core';
import ort from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { trace } from '../trace/index.js';
import { simplify } from '../graph/index.js';
import type { Program, ProgramDefinition } from '../types.js';
import { fromStored, lower, loweringVersion, plainOptions, summarize, toStored } from './index.js';
import { lowerToModel } from './lower.js';
import { resolveOptions } from './options.js';
import type { LoweringOptions } from './options.js';
import { float, int, runEager, runProgram, sampleValues, worstError } from './oracle.fixture.js';

/** A small network with every kind of stored order. */
const network: ProgramDefinition = {
  name: 'network',
  weights: {
    dw: float(7, 7, 8, 1),
    c3: float(3, 3, 8, 16),
    c1: float(1, 1, 16, 8),
    bias: float(16),
    dense: float(4, 8),
    unused: float(2, 3),
  },
  inputs: { x: float(2, 12, 12, 8), t: float(2, 4), idle: int(1) },
  fn: ({ dw, c3, c1, bias, dense }, { x, t }) => {
    const conv = (value: tf.Tensor, filter: tf.Tensor): tf.Tensor4D =>
      tf.conv2d(value as tf.Tensor4D, filter as tf.Tensor4D, 1, 'same');
    const shift = tf.reshape(tf.matMul(t!, dense!), [2, 1, 1, 8]);
    const spread = tf.add(tf.depthwiseConv2d(x as tf.Tensor4D, dw as tf.Tensor4D, 1, 'same'), shift);
    const hidden = tf.relu(tf.add(conv(spread, c3!), bias!));
    return { loss: tf.mean(tf.abs(tf.sub(conv(hidden, c1!), x!))), hidden };
  },
  gradientOf: 'loss',
};

describe('lower', () => {
  it('computes a step with gradients like eager tfjs', async () => {
    const weights = sampleValues(network.weights);
    const inputs = sampleValues(network.inputs);
    const expected = await runEager(network, weights, inputs);
    for (const options of [{}, plainOptions]) {
      expect(worstError(await runProgram(lower(trace(network), options), weights, inputs), expected)).toBeLessThan(
        1e-5,
      );
    }
  });

  it('says in which order each weight is stored, and gives gradients in that order', () => {
    const program = lower(trace(network));
    const permutations = Object.fromEntries(program.weights.map(({ name, permutation }) => [name, permutation]));
    expect(permutations).toEqual({
      dw: [2, 3, 0, 1],
      c3: [0, 1, 2, 3],
      c1: [3, 2, 0, 1],
      bias: [0],
      dense: [0, 1],
      unused: [0, 1],
    });
    for (const weight of program.weights) {
      const gradient = program.outputs.find(({ name }) => name === `grad/${weight.name}`)!;
      expect(gradient.shape.reduce((product, d) => product * d, 1)).toBe(weight.size);
    }
    expect(program.inputs).toEqual([
      { name: 'x', shape: [2, 12, 12, 8], dtype: 'float32' },
      { name: 't', shape: [2, 4], dtype: 'float32' },
      { name: 'idle', shape: [1], dtype: 'int32' },
    ]);
    expect(program.outputs.map(({ name }) => name).sort()).toEqual(
      ['grad/bias', 'grad/c1', 'grad/c3', 'grad/dense', 'grad/dw', 'grad/unused', 'hidden', 'loss'].sort(),
    );
  });

  it('stores a weight that is read in parts as the parts are read, and turns neither them nor its gradient', async () => {
    const definition: ProgramDefinition = {
      name: 'parts',
      weights: { both: float(1, 1, 8, 24) },
      inputs: { x: float(2, 6, 6, 8) },
      fn: ({ both }, { x }) => {
        const part = (from: number, count: number): tf.Tensor =>
          tf.conv2d(x as tf.Tensor4D, tf.slice(both as tf.Tensor4D, [0, 0, 0, from], [1, 1, 8, count]), 1, 'same');
        return { loss: tf.add(tf.mean(tf.abs(part(0, 16))), tf.mean(tf.square(part(16, 8)))) };
      },
      gradientOf: 'loss',
    };
    const graph = trace(definition);
    expect(lower(graph).weights[0]!.permutation).toEqual([3, 2, 0, 1]);
    const { model } = lowerToModel(simplify(graph), resolveOptions({}, { training: true }));
    const turned = model.nodes.filter(({ op, inputs, outputs }) =>
      op === 'Transpose' && [...inputs, ...outputs].some((name) => name.includes('both'))); // prettier-ignore
    expect(turned).toEqual([]);
    const [weights, inputs] = [sampleValues(definition.weights), sampleValues(definition.inputs)];
    const actual = await runProgram(lower(graph), weights, inputs);
    expect(worstError(actual, await runEager(definition, weights, inputs))).toBeLessThan(1e-5);
  });

  it('adds up a batch by a product with ones, where rows need not have the same bits in batches of all sizes', async () => {
    const definition: ProgramDefinition = {
      name: 'sums',
      weights: { bias: float(4), gain: float(5, 4) },
      inputs: { x: float(3, 5, 4) },
      fn: ({ bias, gain }, { x }) => ({ loss: tf.mean(tf.square(tf.add(tf.mul(x!, gain!), bias!))) }),
      gradientOf: 'loss',
    };
    const operators = (options: LoweringOptions): readonly string[] =>
      Object.keys(summarize(trace(definition), options).operators);
    expect(operators({})).toContain('MatMul');
    expect(operators({})).not.toContain('ReduceSum');
    expect(operators(plainOptions)).toContain('ReduceSum');
    const [weights, inputs] = [sampleValues(definition.weights), sampleValues(definition.inputs)];
    const actual = await runProgram(lower(trace(definition)), weights, inputs);
    expect(worstError(actual, await runEager(definition, weights, inputs))).toBeLessThan(1e-6);
    const rows: ProgramDefinition = {
      name: 'rows',
      weights: {},
      inputs: { x: float(3, 5, 4) },
      fn: (_weights, { x }) => ({ sum: tf.sum(x!, [0, 1]) }),
    };
    expect(summarize(trace(rows)).operators['ReduceSum']).toBe(1);
  });

  it('gives equal bytes and digests for equal programs, and others for others', () => {
    const [first, second] = [lower(trace(network)), lower(trace(network))];
    expect(second.onnx).toEqual(first.onnx);
    expect(first.resultDigest).toBe(createHash('sha256').update(first.onnx).digest('hex'));
    expect(second.digest).toBe(first.digest);
    expect(first.loweringVersion).toBe(loweringVersion);
    expect(lower(trace(network), plainOptions).digest).not.toBe(first.digest);
    expect(structuredClone(first)).toEqual(first);
  });

  it('gives the same bits in every run and session', async () => {
    const program = lower(trace(network));
    const [weights, inputs] = [sampleValues(network.weights), sampleValues(network.inputs)];
    expect(await runProgram(program, weights, inputs)).toEqual(await runProgram(program, weights, inputs));
  });

  it('computes an image in the same bits whatever images are beside it', async () => {
    const program = lower(trace(network));
    const [weights, inputs] = [sampleValues(network.weights), sampleValues(network.inputs)];
    const half = inputs['x']!.length / 2;
    const swapped = Float32Array.from([...inputs['x']!.subarray(half), ...inputs['x']!.subarray(0, half)]);
    const times = Float32Array.from([...inputs['t']!.subarray(4), ...inputs['t']!.subarray(0, 4)]);
    const straight = await runProgram(program, weights, inputs);
    const crossed = await runProgram(program, weights, { ...inputs, x: swapped, t: times });
    const middle = straight['hidden']!.length / 2;
    expect(crossed['hidden']!.subarray(middle)).toEqual(straight['hidden']!.subarray(0, middle));
    expect(crossed['hidden']!.subarray(0, middle)).toEqual(straight['hidden']!.subarray(middle));
  });

  it('hides shapes from the planner of ONNX Runtime on the CPU, with the same values', async () => {
    const hidden = (program: Program): string[] =>
      [
        ...Buffer.from(program.onnx)
          .toString('latin1')
          .matchAll(/shape:[\d_]+/g),
      ].map(([name]) => name);
    const [shown, program] = [lower(trace(network), { hideShapes: false }), lower(trace(network))];
    expect(hidden(shown)).toEqual([]);
    expect(hidden(program).length).toBeGreaterThan(0);
    expect(hidden(lower(trace(network), { capabilities: { microsoftOps: false } }))).toEqual([]);
    const session = await ort.InferenceSession.create(program.onnx, { logSeverityLevel: 4 });
    expect([...session.inputNames].sort()).toEqual(['bias', 'c1', 'c3', 'dense', 'dw', 'idle', 't', 'unused', 'x']);
    await session.release();
    const [weights, inputs] = [sampleValues(network.weights), sampleValues(network.inputs)];
    const [a, b] = [await runProgram(program, weights, inputs), await runProgram(shown, weights, inputs)];
    expect(worstError(a, b)).toBeLessThan(1e-6);
  });

  it('puts what nothing reads last, in the reverse of the order in which it was made', () => {
    const { model } = lowerToModel(simplify(trace(network)), resolveOptions({}, { training: true }));
    const read = new Set(model.nodes.flatMap(({ inputs }) => inputs));
    const leaves = model.nodes.map(({ outputs }, i) => ({ i, leaf: outputs.every((name) => !read.has(name)) }));
    const firstLeaf = leaves.findIndex(({ leaf }) => leaf);
    expect(leaves.slice(firstLeaf).every(({ leaf }) => leaf)).toBe(true);
    const order = model.nodes.slice(firstLeaf).flatMap(({ outputs }) => outputs);
    // The backward pass reaches the pointwise filter before that of the depthwise convolution.
    expect(order.indexOf('grad/c1')).toBeGreaterThan(order.indexOf('grad/c3'));
    expect(order.indexOf('grad/c3')).toBeGreaterThan(order.indexOf('grad/dw'));
    const made = new Set(model.inputs.map(({ name }) => name).concat(model.initializers.map(({ name }) => name)));
    for (const { inputs, outputs } of model.nodes) {
      expect(inputs.every((name) => made.has(name))).toBe(true);
      outputs.forEach((name) => made.add(name));
    }
  });

  it('passes inputs, constants and one value under two names through to outputs', async () => {
    const definition: ProgramDefinition = {
      name: 'passing',
      weights: {},
      inputs: { x: float(3), i: int(2) },
      fn: (_weights, { x, i }) => {
        const doubled = tf.mul(x!, 2);
        return { same: tf.add(x!, 0), index: tf.add(i!, tf.scalar(0, 'int32')), number: tf.scalar(4), ones: tf.ones([2, 2]), a: doubled, b: tf.add(x!, x!), c: tf.mul(x!, 2) };
      }, // prettier-ignore
    };
    const values = await runProgram(
      lower(trace(definition)),
      {},
      { x: Float32Array.of(1, 2, 3), i: Int32Array.of(7, 8) },
    );
    expect(Object.fromEntries(Object.entries(values).map(([name, data]) => [name, [...data]]))).toEqual({
      same: [1, 2, 3],
      index: [7, 8],
      number: [4],
      ones: [1, 1, 1, 1],
      a: [2, 4, 6],
      b: [2, 4, 6],
      c: [2, 4, 6],
    });
  });

  it('names the tfjs kernel in every node, so that errors of the runtime can be read', async () => {
    const definition: ProgramDefinition = {
      name: 'gather',
      weights: {},
      inputs: { x: float(3, 2), i: int(2) },
      fn: (_weights, { x, i }) => ({ rows: tf.gather(x!, i as tf.Tensor1D) }),
    };
    const program = lower(trace(definition));
    const session = await ort.InferenceSession.create(program.onnx, { logSeverityLevel: 4 });
    const feeds = {
      x: new ort.Tensor('float32', new Float32Array(6), [3, 2]),
      i: new ort.Tensor('int32', Int32Array.of(0, 9), [2]),
    };
    await expect(session.run(feeds)).rejects.toThrow(/GatherV2\.\d+\/Gather/);
    await session.release();
  });

  it('adds a bias inside of its convolution', () => {
    const { operators } = summarize(trace({ ...network, gradientOf: undefined as never }), plainOptions);
    expect(operators['Conv']).toBe(3);
    expect(operators['Add']).toBe(1); // The shift by t; the bias vector is an input of Conv.
  });

  it('tells what it did', () => {
    const summary = summarize(trace(network));
    expect(summary.recordedNodes).toBeGreaterThan(summary.simplifiedValues / 2);
    expect(summary.operators['FusedMatMul']).toBeGreaterThan(0);
    expect(Object.values(summary.operators).reduce((sum, count) => sum + count, 0)).toBe(summary.onnxNodes);
    expect(summary.rules['step-to-sign']).toBe(1);
    expect(summary.convolutions.map(({ op, strategy }) => `${op} ${strategy}`)).toContain('Conv2D winograd-4');
    const plain = summarize(trace(network), plainOptions);
    expect(plain.operators['FusedMatMul']).toBeUndefined();
    expect(new Set(plain.convolutions.map(({ strategy }) => strategy))).toEqual(new Set(['plain']));
  });
});

describe('toStored and fromStored', () => {
  it('are inverses, and the first gives the wanted order', () => {
    const weight = { name: 'w', shape: [3, 3, 2, 4], permutation: [3, 2, 0, 1], size: 72 };
    const data = Float32Array.from({ length: 72 }, (_, i) => i);
    const stored = toStored(weight, data);
    expect([...stored.subarray(0, 3)]).toEqual([0, 8, 16]); // First output and input channel, first row of taps.
    expect(fromStored(weight, stored)).toEqual(data);
  });
});
