import { createHash } from 'node:crypto';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { simplify } from '../graph/index.js';
import { trace } from '../trace/index.js';
import type { ProgramDefinition, Recompute } from '../types.js';
import { lower, plainOptions, summarize } from './index.js';
import { lowerToModel } from './lower.js';
import { resolveOptions } from './options.js';
import { float, runProgram, sampleValues } from './oracle.fixture.js';

const conv = (value: tf.Tensor, filter: tf.Tensor): tf.Tensor4D =>
  tf.conv2d(value as tf.Tensor4D, filter as tf.Tensor4D, 1, 'same');

/** x + two convolutions with something between them that the way back needs. */
const block = (level: number, name: string, x: tf.Tensor, wide: tf.Tensor, narrow: tf.Tensor): tf.Tensor =>
  tf.tidy(`level ${level}: ${name}`, () => {
    const hidden = conv(x, wide);
    return tf.add(x, conv(tf.mul(hidden, tf.sigmoid(hidden)), narrow));
  });

const definition: ProgramDefinition = {
  name: 'blocks',
  weights: Object.fromEntries(
    ['a', 'b', 'c'].flatMap((name) => [
      [`${name}.wide`, float(3, 3, 8, 16)],
      [`${name}.narrow`, float(3, 3, 16, 8)],
    ]),
  ),
  inputs: { x: float(2, 16, 16, 8) },
  fn: (weights, { x }) => {
    const at = (level: number, name: string, input: tf.Tensor): tf.Tensor =>
      block(level, name, input, weights[`${name}.wide`]!, weights[`${name}.narrow`]!);
    const fine = at(0, 'a', x!);
    const coarse = at(1, 'b', tf.avgPool(fine as tf.Tensor4D, 2, 2, 'same'));
    const up = tf.image.resizeNearestNeighbor(coarse as tf.Tensor4D, [16, 16]);
    return { loss: tf.mean(tf.abs(at(0, 'c', tf.add(fine, up)))), coarse };
  },
  gradientOf: 'loss',
};
const graph = trace(definition);
const weights = sampleValues(definition.weights);
const inputs = sampleValues(definition.inputs);
const copies = (recompute: Recompute): string[] =>
  lowerToModel(simplify(graph), { ...resolveOptions({}, { training: true }), recompute })
    .model.nodes.filter(({ name }) => name.endsWith('/again'))
    .map(({ name }) => name);

describe('recomputation', () => {
  it.each([
    ['every formulation', {}],
    ['plain ONNX', plainOptions],
  ])('changes no bit (%s)', async (_, options) => {
    const plain = lower(graph, options);
    const expected = await runProgram(plain, weights, inputs);
    for (const recompute of ['all', [0], [1], [0, 1]] as const) {
      const program = lower(graph, { ...options, recompute });
      expect(program.digest).not.toBe(plain.digest);
      expect(program.resultDigest).toBe(plain.resultDigest);
      expect(await runProgram(program, weights, inputs)).toEqual(expected);
    }
    expect(plain.resultDigest).toBe(createHash('sha256').update(plain.onnx).digest('hex'));
  });

  it('holds less at once, the more levels the less', () => {
    const peak = (recompute: Recompute): number => summarize(graph, { recompute }).memory.peakBytes;
    const [all, fine, none] = [peak('all'), peak([0]), peak('none')];
    expect(all).toBeLessThanOrEqual(fine);
    expect(fine).toBeLessThan(0.8 * none);
    expect(peak([0, 1])).toBe(all);
  });

  it('computes again the inner values of the levels asked for, and of no other', () => {
    const kernels = (recompute: Recompute): string[] => copies(recompute).map((name) => name.split('.')[0]!);
    const [fine, coarse] = [copies([0]), copies([1])];
    expect(kernels([0])).toContain('Conv2D');
    expect(fine.length).toBeGreaterThan(coarse.length);
    expect(fine.filter((name) => coarse.includes(name))).toEqual([]);
    expect(new Set(copies('all'))).toEqual(new Set([...fine, ...coarse]));
    expect(copies('none')).toEqual([]);
  });

  it('keeps what leaves a segment: only the first convolution of a block is computed twice', () => {
    const options = { ...resolveOptions(plainOptions, { training: true }), recompute: 'all' as const };
    const { nodes } = lowerToModel(simplify(graph), options).model;
    const forward = nodes.filter(({ op, name }) => op === 'Conv' && name.startsWith('Conv2D.'));
    const again = forward.filter(({ name }) => name.endsWith('/again'));
    expect(forward.length - again.length).toBe(6);
    expect(again.length).toBe(3);
  });

  it('leaves a program without gradients as it is', () => {
    const { gradientOf: _, ...forward } = definition;
    expect(lower(trace(forward), { recompute: 'all' }).digest).toBe(lower(trace(forward)).digest);
  });

  it('refuses a level that the program does not have', () => {
    expect(() => lower(graph, { recompute: [0, 4] })).toThrow(
      expect.objectContaining({
        code: 'THAW_CONFIG_INVALID',
        message: "level 4 cannot be computed again: program 'blocks' has the levels 0, 1",
      }),
    );
  });
});
