/**
 * What follows the gradients of a step, written in plain tfjs, traced and run by ONNX Runtime: quantisation to fixed point, the mean of the
 * totals, Adam, the moving average. Compared bit by bit with the trainer's own definition, and so is the same function op by op.
 */
import * as tf from '@tensorflow/tfjs-core';
import { openEngine, type Compiled, type Engine, type ProgramDefinition, type TensorData } from '@thaw/shared/engine';
import {
  addQuantised,
  adamFactorsOf,
  adamUpdateOf,
  averageUpdateOf,
  blockMaxima,
  createLayout,
  laneLimit,
  meanScale,
  neededExponent,
  plainKernels,
  powerOfTwo,
} from '@thaw/trainer';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const blocks = 6;
const blockValues = 256;
const layout = createLayout([{ name: 'all', size: blocks * blockValues }], 1);
const lowest = -128;
const highest = 127;

const values = { shape: [blocks, blockValues], dtype: 'float32' as const };
const integers = { shape: [blocks, blockValues], dtype: 'int32' as const };
const scalar = { shape: [], dtype: 'float32' as const };

/** 2^-e for every exponent, as two factors that fp32 can hold: 2^128 and 2^-127 are no normal fp32 numbers. */
const halves = Array.from({ length: highest - lowest + 1 }, (_, k) => Math.trunc(-(lowest + k) / 2));
const firstFactors = halves.map((half) => powerOfTwo(half));
const secondFactors = halves.map((half, k) => powerOfTwo(-(lowest + k) - half));

/** The exponent of each block and the lane's integers added to `sums`. */
const quantise: ProgramDefinition = {
  name: 'quantise',
  weights: {},
  inputs: { gradient: values, base: { shape: [blocks], dtype: 'int32' }, sums: integers, limit: scalar },
  fn: (_, { gradient, base, sums, limit }) => {
    const [first, second] = [tf.tensor1d(firstFactors), tf.tensor1d(secondFactors)];
    const largest = tf.max(tf.abs(gradient!), 1, true);
    const fits = tf.lessEqual(tf.round(tf.mul(tf.mul(largest, first), second)), limit!);
    const tooSmall = tf.sum(tf.cast(tf.logicalNot(fits), 'int32'), 1);
    const needed = tf.maximum(base!, tf.add(tooSmall, tf.scalar(lowest, 'int32')));
    const exponents = tf.minimum(needed, tf.scalar(highest, 'int32'));
    const entry = tf.sub(exponents, tf.scalar(lowest, 'int32')) as tf.Tensor1D;
    const scaled = tf.mul(tf.mul(gradient!, tf.expandDims(tf.gather(first, entry), 1)), tf.expandDims(tf.gather(second, entry), 1));
    return { exponents, totals: tf.add(sums!, tf.cast(tf.round(scaled), 'int32')) };
  },
}; // prettier-ignore

/** Mean gradient, Adam and average. Factors are inputs, as they change from step to step. */
const update: ProgramDefinition = {
  name: 'update',
  weights: { weights: values },
  inputs: {
    ema: values, firstMoment: values, secondMoment: values, sums: integers, scales: { shape: [blocks, 1], dtype: 'float32' },
    beta1: scalar, rest1: scalar, beta2: scalar, rest2: scalar, stepSize: scalar, rootScale: scalar, epsilon: scalar, decay: scalar, rest: scalar,
  }, // prettier-ignore
  fn: ({ weights }, x) => {
    const gradient = tf.mul(tf.cast(x['sums']!, 'float32'), x['scales']!);
    const first = tf.add(tf.mul(x['beta1']!, x['firstMoment']!), tf.mul(x['rest1']!, gradient));
    const squares = tf.mul(tf.mul(x['rest2']!, gradient), gradient);
    const second = tf.add(tf.mul(x['beta2']!, x['secondMoment']!), squares);
    const root = tf.add(tf.mul(tf.sqrt(second), x['rootScale']!), x['epsilon']!);
    const next = tf.sub(weights!, tf.div(tf.mul(x['stepSize']!, first), root));
    const ema = tf.add(tf.mul(x['decay']!, x['ema']!), tf.mul(x['rest']!, next));
    return { next, average: ema, first, second };
  },
};

/** Values of one block are of one magnitude; some are zero, and some lie halfway between two integers of some exponent. */
const block = fc
  .record({ power: fc.integer({ min: -80, max: 30 }), seed: fc.integer({ min: 1, max: 2 ** 30 }), zero: fc.boolean() })
  .map(({ power, seed, zero }) => {
    let state = seed;
    const scale = zero ? 0 : powerOfTwo(power);
    return Float32Array.from({ length: blockValues }, (_, i) => {
      state = (Math.imul(state, 1664525) + 1013904223) | 0;
      const unit = state / 2 ** 31;
      return scale * (i % 5 === 0 ? Math.round(unit * 64) + 0.5 : unit);
    });
  });
const gradients = fc.array(block, { minLength: blocks, maxLength: blocks }).map((parts) => {
  const whole = new Float32Array(blocks * blockValues);
  parts.forEach((part, i) => whole.set(part, i * blockValues));
  return whole;
});

describe.each(['onnx-cpu', 'tfjs-wasm'] as const)('on %s', (kind) => {
  let engine: Engine;
  let quantised: Compiled;
  let updated: Compiled;
  beforeAll(async () => {
    engine = await openEngine({ kind });
    quantised = await engine.load(quantise);
    updated = await engine.load(update);
  });
  afterAll(() => engine.close());

  it('a traced program quantises gradients as the trainer does', async () => {
    await fc.assert(
      fc.asyncProperty(
        gradients,
        fc.constantFrom(1, 2, 7, 32),
        fc.integer({ min: -128, max: 20 }),
        fc.integer({ min: -1000, max: 1000 }),
        async (gradient, laneCount, base, before) => {
          const limit = laneLimit(laneCount);
          const largest = new Float32Array(blocks);
          blockMaxima(layout, 0, blocks, gradient, largest);
          const exponents = Int8Array.from(largest, (value) => neededExponent(value, base, limit));
          const sums = new Int32Array(gradient.length).fill(before);
          addQuantised(layout, 0, blocks, gradient, exponents, sums, 0);

          const inputs = {
            gradient,
            base: new Int32Array(blocks).fill(base),
            sums: new Int32Array(gradient.length).fill(before),
            limit: Float32Array.of(largestFloatUpTo(limit)),
          };
          const result = await quantised.run({ weights: {}, inputs });
          expect([...result['exponents']!]).toEqual([...exponents]);
          expect(result['totals']).toEqual(sums);
        },
      ),
      { numRuns: 30, seed: 11 },
    );
  });

  it('a traced program updates weights, moments and average as the trainer does', async () => {
    const optimizer = { learningRate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, warmupSteps: 0 };
    const kept = (power: number) => gradients.map((g) => g.map((value) => Math.sign(value) * 2 ** power * (Math.abs(value) % 1)));
    await fc.assert(
      fc.asyncProperty(
        kept(0),
        kept(-8),
        fc.array(fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }), { minLength: 64, maxLength: 64 }),
        fc.integer({ min: -30, max: -10 }),
        fc.constantFrom(1, 3, 8),
        fc.integer({ min: 1, max: 1000 }),
        async (weights, moments, totals, exponent, laneCount, step) => {
          const sums = Int32Array.from({ length: weights.length }, (_, i) => totals[i % totals.length]!);
          const adam = adamUpdateOf(optimizer, step, 0.9 ** step, 0.999 ** step);
          const average = averageUpdateOf({ every: 1, startStep: 0, decay: 0.995 }, step);
          if (average.kind !== 'blend') throw new Error('the average blends from its first step on');
          const squares = moments.map((value) => value * value);
          const arrays = { weights: weights.slice(), ema: moments.slice(), firstMoment: moments.slice(), secondMoment: squares.slice() };
          const exponents = new Int8Array(blocks).fill(exponent);
          plainKernels.update(layout, 0, blocks, arrays, { sums, exponents, laneCount, adam, average }, new Uint32Array(blocks));

          const factors = { ...adamFactorsOf(adam), decay: average.decay, rest: average.rest };
          const inputs: Record<string, TensorData> = {
            ema: moments, firstMoment: moments, secondMoment: squares, sums,
            scales: new Float32Array(blocks).fill(meanScale(exponent, laneCount)),
            ...Object.fromEntries(Object.entries(factors).map(([name, value]) => [name, Float32Array.of(value)])),
          }; // prettier-ignore
          const result = await updated.run({ weights: { weights }, inputs });
          expect(result).toEqual({ next: arrays.weights, average: arrays.ema, first: arrays.firstMoment, second: arrays.secondMoment });
        },
      ),
      { numRuns: 15, seed: 12 },
    );
  }); // prettier-ignore
});

function largestFloatUpTo(limit: number): number {
  const rounded = Math.fround(limit);
  return rounded <= limit ? rounded : Math.fround(limit * (1 - 2 ** -24));
}
