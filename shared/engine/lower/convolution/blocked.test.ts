import * as tf from '@tensorflow/tfjs-core';
import ort from 'onnxruntime-node';
import { beforeAll, describe, expect, it } from 'vitest';
import { trace } from '../../trace/index.js';
import type { BlockSize, ProgramDefinition } from '../../types.js';
import { lower } from '../lower.js';
import { float, runEager, runProgram, sampleValues, worstError } from '../oracle.fixture.js';
import { summarize } from '../summary.js';
import { blockedConvSelfTest } from './blocked-self-test.js';
import type { RunProgram } from './blocked-self-test.js';

const run: RunProgram = async (program, inputs) => {
  const session = await ort.InferenceSession.create(program.onnx, { intraOpNumThreads: 1, logSeverityLevel: 4 });
  try {
    const tensors = program.inputs.map(({ name, shape }) => [name, new ort.Tensor('float32', inputs[name]!, shape)]);
    const results = await session.run(Object.fromEntries(tensors) as Record<string, ort.Tensor>);
    return Object.fromEntries(Object.entries(results).map(([name, tensor]) => [name, tensor.data as Float32Array]));
  } finally {
    await session.release();
  }
};

const definition: ProgramDefinition = {
  name: 'depthwise',
  weights: { filter: float(7, 7, 32, 1), bias: float(32), mix: float(3, 3, 32, 4) },
  inputs: { x: float(2, 8, 9, 32) },
  fn: ({ filter, bias, mix }, { x }) => {
    const first = tf.add(tf.depthwiseConv2d(x as tf.Tensor4D, filter as tf.Tensor4D, 1, 'same'), bias!);
    const second = tf.depthwiseConv2d(tf.tanh(first) as tf.Tensor4D, filter as tf.Tensor4D, 1, 'same');
    return { loss: tf.mean(tf.square(tf.conv2d(second, mix as tf.Tensor4D, 1, 'same'))), second };
  },
  gradientOf: 'loss',
};

describe('blockedConvSelfTest', () => {
  let block: BlockSize;
  beforeAll(async () => {
    const outcome = await blockedConvSelfTest(run);
    expect(outcome.reason).not.toBe('');
    block = outcome.blockSize;
  });

  it('finds the block size of this machine, and no other block size passes', async () => {
    // A machine without blocked convolutions is right to say false; on x64 the pinned package has them.
    if (process.arch === 'x64') expect([8, 16]).toContain(block);
    else expect([false, 8, 16]).toContain(block);
    const other = block === 8 ? 16 : 8;
    const lowered = lower(trace(definition), { capabilities: { blockedConv: other } });
    const [weights, inputs] = [sampleValues(definition.weights), sampleValues(definition.inputs)];
    const expected = await runEager(definition, weights, inputs);
    const wrong = await runProgram(lowered, weights, inputs).then(
      (actual) => worstError(actual, expected) > 0.01,
      () => true, // The domain does not exist here.
    );
    expect(wrong).toBe(true);
  });

  it('allows lowering that equals eager tfjs', async () => {
    const capabilities = { blockedConv: block };
    const [weights, inputs] = [sampleValues(definition.weights), sampleValues(definition.inputs)];
    const actual = await runProgram(lower(trace(definition), { capabilities }), weights, inputs);
    expect(worstError(actual, await runEager(definition, weights, inputs))).toBeLessThan(1e-5);
    const strategies = summarize(trace(definition), { capabilities }).convolutions.map(({ strategy }) => strategy);
    expect(strategies.filter((strategy) => strategy === `blocked-${block}`)).toHaveLength(block === false ? 0 : 5);
  });

  it('turns a block size off that is wrong in a single value, saying by how much', async () => {
    for (const output of ['forward', 'gradient', 'filterGradient']) {
      const damaged: RunProgram = async (program, inputs) => {
        const results = await run(program, inputs);
        if (program.blockedConv !== false) results[output]![17]! += 0.01;
        return results;
      };
      const { blockSize, reason } = await blockedConvSelfTest(damaged);
      expect(blockSize).toBe(false);
      if (block !== false) expect(reason).toMatch(`blocks of ${block} are wrong by 0.01`);
    }
  });

  it('turns blocks off where they give no number, nothing, or do not load', async () => {
    const notNumbers: RunProgram = async (program, inputs) => {
      const results = await run(program, inputs);
      if (program.blockedConv !== false) results['forward']![3] = NaN;
      return results;
    };
    expect((await blockedConvSelfTest(notNumbers)).blockSize).toBe(false);
    const nothing: RunProgram = (program, inputs) =>
      program.blockedConv === false ? run(program, inputs) : Promise.resolve({});
    expect((await blockedConvSelfTest(nothing)).blockSize).toBe(false);
    const without: RunProgram = (program, inputs) =>
      program.blockedConv === false ? run(program, inputs) : Promise.reject(new Error('no such domain\nat line 3'));
    expect(await blockedConvSelfTest(without)).toEqual({
      blockSize: false,
      reason: 'blocks of 8 do not run: no such domain; blocks of 16 do not run: no such domain',
    });
  });
});
