import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-wasm';
import { beforeAll, describe, expect, it } from 'vitest';
import type { RunConfig } from '../protocol/index.js';
import { RunConfigSchema } from '../protocol/index.js';
import { RandomStream } from '../runtime/index.js';
import { initialWeights, network } from '../model/index.js';
import { labToRgb, rgbToLab } from './colour-space.js';
import {
  algorithm2Program,
  degradationOf,
  restorationLoss,
  restorationProgram,
  stepIndex,
  tableInputs,
} from './index.js';

beforeAll(async () => {
  await tf.setBackend('wasm');
});

type Convert = (x: tf.Tensor4D) => tf.Tensor4D;
const apply = (convert: Convert, data: Float32Array): Float32Array =>
  tf.tidy(() => convert(tf.tensor4d(data, [1, 1, data.length / 3, 3])).dataSync()) as Float32Array;
const random = (count: number, scale: number, seed = 1): Float32Array => {
  const stream = new RandomStream(seed, 'evaluation');
  return Float32Array.from({ length: count }, () => scale * (2 * stream.uniform() - 1));
};
const worst = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Array.from(a).reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0);

describe('CIE Lab', () => {
  // Outputs of the official rgb2lab (torch 2.15, float32).
  it.each([
    [
      [-1, -1, -1],
      [0, 0, 0],
    ],
    [
      [1, 1, 1],
      [100, -0.00244379, 0.004649162],
    ],
    [
      [0, 0, 0],
      [53.38897, -0.001460314, 0.002789497],
    ],
    [
      [1, -1, -1],
      [53.24059, 80.09231, 67.20274],
    ],
    [
      [-1, 1, -1],
      [87.7351, -86.18301, 83.1797],
    ],
    [
      [-1, -1, 1],
      [32.29567, 79.18559, -107.8573],
    ],
    [
      [-0.95, -0.93, -0.99],
      [2.146942, -1.730666, 2.660284],
    ],
    [
      [0.2, -0.6, 0.8],
      [45.39325, 70.14892, -71.43042],
    ],
    [
      [-0.3, 0.9, 0.1],
      [85.8495, -62.07952, 37.53778],
    ],
  ])('of %j is the official %j', (rgb, lab) => {
    expect(worst(apply(rgbToLab, Float32Array.from(rgb)), lab)).toBeLessThan(1e-4);
  });

  it('comes back as it was, inside and outside the range of images', () => {
    const inside = random(3000, 1);
    expect(worst(apply(labToRgb, apply(rgbToLab, inside)), inside)).toBeLessThan(3e-5);
    // What an untrained network may say: no colour at all.
    const lab = random(3000, 60);
    expect(worst(apply(rgbToLab, apply(labToRgb, lab)), lab)).toBeLessThan(0.05);
    expect(apply(labToRgb, Float32Array.of(-300, 900, 900, 500, -900, -900)).every(Number.isFinite)).toBe(true);
  });
});

describe('a run whose network sees Lab', () => {
  const run: RunConfig = RunConfigSchema.parse({
    format: 'thaw.run/1',
    name: 'lab',
    seed: 5,
    data: { dataset: 'test', size: 8, channels: 3 },
    degradation: { family: 'decolorization', steps: 5, routine: 'Linear', totalRemove: true, toLab: true },
    network: { kind: 'convnext-unet', dim: 8, mults: [1] },
    optimizer: { learningRate: 0.001 },
    batch: { global: 4, micro: 2 },
    steps: 10,
  });
  const degradation = degradationOf(run);
  const images = random(2 * 192, 1, 3);
  const tensorsOf = (data: Readonly<Record<string, Float32Array>>): Record<string, tf.Tensor> =>
    Object.fromEntries(Object.entries(data).map(([name, values]) => [name, tf.tensor1d(values)]));
  const tables = (): Record<string, tf.Tensor> => tensorsOf(tableInputs(degradation));
  const pair = (data: Float32Array): tf.Tensor4D => tf.tensor4d(data, [2, 8, 8, 3]);
  const both = (s: number): tf.Tensor1D => tf.tensor1d([s, s], 'int32');
  const lab = (data: Float32Array): Float32Array =>
    tf.tidy(() => rgbToLab(pair(data)).dataSync() as Float32Array).slice();
  const degraded = (data: Float32Array, s: number): Float32Array =>
    tf
      .tidy(() => degradation.apply(pair(data), both(s), { keep: tables()['table/keep']! }, {}).dataSync())
      .slice() as Float32Array;
  const weights = initialWeights(run.network, run.data, 7);

  it('is trained on Lab: what the network is given and what it is compared with', () => {
    const severity = [2, 4];
    const got = tf.tidy(
      () =>
        restorationLoss(
          (x, t) => tf.add(tf.mul(x, 0.5), tf.reshape(t, [-1, 1, 1, 1])) as tf.Tensor4D,
          degradation,
          'l1',
          {
            x0: pair(images),
            severity: tf.tensor1d(severity, 'int32'),
            tables: { keep: tables()['table/keep']! },
            context: {},
          },
        ).dataSync()[0]!,
    );
    const clean = lab(images);
    const given = severity.map((s) => lab(degraded(images, s)));
    const differences = clean.map((value, i) => {
      const row = Math.floor(i / 192);
      return Math.abs(value - (0.5 * given[row]![i]! + severity[row]! - 1));
    });
    expect(got).toBeCloseTo(differences.reduce((sum, d) => sum + d, 0) / differences.length, 3);
  });

  it.each([
    ['Final', 0, 1],
    ['Step', 0, 1],
    ['Step_Gradient', 1, 1],
    ['Gradient_norm', 1, -1],
  ] as const)('%s: restores through Lab: %d x_s + %d R(x_s, t)', (trainRoutine, ofX, ofOutput) => {
    const restored = tf.tidy(() => {
      const program = restorationProgram({ ...run, trainRoutine }, 2);
      const named = Object.fromEntries(
        Object.entries(program.weights).map(([name, { shape }]) => [name, tf.tensor(weights[name]!, [...shape])]),
      );
      const t = stepIndex(both(3));
      const outputs = program.fn(named, { x: pair(images), t });
      const output = network(named, rgbToLab(pair(images)), t, run.network).dataSync() as Float32Array;
      const seen = lab(images);
      const wanted = seen.map((value, i) => ofX * value + ofOutput * output[i]!);
      return [lab(outputs.restored!.dataSync() as Float32Array), wanted] as const;
    });
    expect(worst(...restored)).toBeLessThan(2e-3);
  });

  it('Algorithm 2 telescopes in Lab, whatever the network does; a perfect one gives the image back', () => {
    const walk = (restore: (x: Float32Array, s: number) => Float32Array): { end: Float32Array; sum: Float32Array } => {
      const program = algorithm2Program(run, 2, degradation);
      let x = degraded(images, 5);
      const sum = lab(x);
      for (let s = 5; s >= 1; s--) {
        const estimate = restore(x, s);
        const [next, at] = [lab(degraded(estimate, s - 1)), lab(degraded(estimate, s))];
        sum.forEach((_, i) => (sum[i] += next[i]! - at[i]!));
        x = tf.tidy(() => {
          const inputs = { x: pair(x), restored: pair(estimate), severity: both(s), nextSeverity: both(s - 1) };
          return (program.fn({}, { ...inputs, ...tables() }).next!.dataSync() as Float32Array).slice();
        });
      }
      return { end: x, sum };
    };
    const wild = walk((x, s) => x.map((value, i) => 1.2 * value * value - 0.3 * s + images[(i * 7) % images.length]!));
    expect(worst(lab(wild.end), wild.sum)).toBeLessThan(5e-3);
    expect(worst(walk(() => images).end, images)).toBeLessThan(1e-4);
  });
});
