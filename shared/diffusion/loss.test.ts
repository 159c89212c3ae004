import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-wasm';
import { beforeAll, describe, expect, it } from 'vitest';
import { trace } from '../engine/index.js';
import type { RunConfig } from '../protocol/index.js';
import { RunConfigSchema } from '../protocol/index.js';
import { RandomStream } from '../runtime/index.js';
import type { TrainRoutine } from './loss.js';
import { restorationLoss, targetShapes } from './loss.js';
import { degradationOf, trainingInputs, trainingProgram } from './index.js';

const routines: readonly TrainRoutine[] = [
  'Final',
  'Final_small_noise',
  'Final_random_mean',
  'Final_random_mean_and_actual',
  'Gradient_norm',
  'Step',
  'Step_Gradient',
];
const runOf = (changes: object = {}): RunConfig =>
  RunConfigSchema.parse({
    format: 'thaw.run/1',
    name: 'test',
    seed: 5,
    data: { dataset: 'test', size: 8, channels: 3 },
    degradation: { family: 'decolorization', steps: 4, routine: 'Linear' },
    network: { kind: 'convnext-unet', dim: 8, mults: [1] },
    optimizer: { learningRate: 0.001 },
    batch: { global: 8, micro: 2 },
    steps: 10,
    ...changes,
  });

const pixels = 8 * 8 * 3;
const random = new RandomStream(2, 'evaluation');
const values = (count: number): Float32Array => Float32Array.from({ length: count }, () => 2 * random.uniform() - 1);
const images = values(2 * pixels);
const noise = values(2 * pixels);
const means = values(6);
const severities = [1, 3];

/** Decolorization by hand: D(x, s) with keep = 1 - s / 4. */
const degrade = (x: Float64Array, row: number, severity: number): Float64Array =>
  x.map((value, i) => {
    const first = i - (i % 3);
    const grey = (x[first]! + x[first + 1]! + x[first + 2]!) / 3;
    expect(row).toBeLessThan(2);
    return (1 - severity / 4) * value + (severity / 4) * grey;
  });
/** The network that is trained: neither linear nor any good. */
const restored = (x: Float64Array, t: number): Float64Array => x.map((value) => 0.5 * value * value - 0.1 * t);
const clean = (row: number): Float64Array => Float64Array.from(images.subarray(row * pixels, (row + 1) * pixels));

/** What the network is given and what it is to say, by hand. */
function tasks(routine: TrainRoutine, row: number): [given: Float64Array, wanted: Float64Array][] {
  const x0 = clean(row);
  const s = severities[row]!;
  const given = degrade(x0, row, s);
  const withMeans = x0.map((value, i) => {
    let sum = 0;
    for (let k = i % 3; k < pixels; k += 3) sum += x0[k]!;
    return value - sum / 64 + means[row * 3 + (i % 3)]!;
  });
  const final = (image: Float64Array): [Float64Array, Float64Array] => [degrade(image, row, s), image];
  const next = degrade(x0, row, s - 1);
  switch (routine) {
    case 'Final':
      return [final(x0)];
    case 'Final_small_noise':
      return [final(x0.map((value, i) => value + 0.001 * noise[row * pixels + i]!))];
    case 'Final_random_mean':
      return [final(withMeans)];
    case 'Final_random_mean_and_actual':
      return [final(x0), final(withMeans)];
    case 'Gradient_norm': {
      const gradient = given.map((value, i) => value - x0[i]!);
      const norm = Math.sqrt(gradient.reduce((sum, value) => sum + value * value, 0));
      return [[given, gradient.map((value) => value / (norm + 1e-5))]];
    }
    case 'Step':
      return [[given, next]];
    case 'Step_Gradient':
      return [[given, next.map((value, i) => value - given[i]!)]];
  }
}

function byHand(routine: TrainRoutine, kind: RunConfig['loss']): number {
  const perRow = [0, 1].map((row) => tasks(routine, row));
  let loss = 0;
  for (let task = 0; task < perRow[0]!.length; task++) {
    let sum = 0;
    perRow.forEach((list, row) => {
      const [given, wanted] = list[task]!;
      restored(given, severities[row]! - 1).forEach((value, i) => {
        const difference = Math.abs(value - wanted[i]!);
        sum += kind === 'l2' ? difference * difference : difference;
      });
    });
    const mean = sum / (2 * pixels);
    loss += kind === 'sqrt' ? Math.sqrt(mean) : mean;
  }
  return loss;
}

beforeAll(async () => {
  await tf.setBackend('wasm');
});

describe.each(routines)('%s', (routine) => {
  it.each(['l1', 'l2', 'sqrt'] as const)('is the loss worked out by hand, as %s', (kind) => {
    const degradation = degradationOf(runOf());
    const got = tf.tidy(() =>
      restorationLoss(
        (x, t) => tf.sub(tf.mul(tf.square(x), 0.5), tf.reshape(tf.mul(t, 0.1), [-1, 1, 1, 1])),
        degradation,
        kind,
        {
          x0: tf.tensor4d(images, [2, 8, 8, 3]),
          severity: tf.tensor1d(severities, 'int32'),
          tables: { keep: tf.tensor(degradation.tables.keep!.data) },
          context: {},
          target: { noise: tf.tensor4d(noise, [2, 8, 8, 3]), mean: tf.tensor2d(means, [2, 3]) },
        },
        routine,
      ).dataSync(),
    );
    expect(got[0]).toBeCloseTo(byHand(routine, kind), 5);
  });

  it('is traced with a gradient of every weight, and fed what it asks for', () => {
    const run = runOf({ trainRoutine: routine, loss: 'sqrt' });
    const degradation = degradationOf(run);
    const program = trainingProgram(run, 2, degradation);
    const outputs = Object.keys(trace(program).outputs);
    expect(outputs).toHaveLength(1 + Object.keys(program.weights).length);
    const fed = trainingInputs(run, degradation, 3, 1, { images: new Uint8Array(2 * pixels).fill(90) });
    for (const [name, shape] of Object.entries(targetShapes(routine, run.data))) {
      expect(program.inputs[`target/${name}`]!.shape).toEqual([2, ...shape]);
      expect(fed[`target/${name}`]!.length).toBe(2 * shape.reduce((product, extent) => product * extent, 1));
    }
    expect(Object.keys(fed).filter((name) => name.startsWith('target/'))).toHaveLength(
      Object.keys(targetShapes(routine, run.data)).length,
    );
  });
});

describe('draws of the routine', () => {
  it('are standard normal and keyed by seed, step, lane and row', () => {
    const run = runOf({ trainRoutine: 'Final_small_noise' });
    const degradation = degradationOf(run);
    const draw = (step: number, lane: number) =>
      trainingInputs(run, degradation, step, lane, { images: new Uint8Array(2 * pixels) })['target/noise']!;
    const drawn = draw(3, 1) as Float32Array;
    const mean = drawn.reduce((sum, value) => sum + value, 0) / drawn.length;
    const variance = drawn.reduce((sum, value) => sum + value * value, 0) / drawn.length;
    expect(Math.abs(mean)).toBeLessThan(4 / Math.sqrt(drawn.length));
    expect(Math.abs(variance - 1)).toBeLessThan(0.3);
    expect(draw(3, 1)).toEqual(drawn);
    expect(draw(4, 1)).not.toEqual(drawn);
    expect(draw(3, 2)).not.toEqual(drawn);
    expect(drawn.subarray(0, pixels)).not.toEqual(drawn.subarray(pixels));
  });
});

describe('snow for a batch', () => {
  const patterns = (snow: object): string[] => {
    const run = runOf({
      data: { dataset: 'test', size: 16, channels: 3 },
      degradation: { family: 'snow', steps: 4, level: 1, ...snow },
    });
    const degradation = degradationOf(run);
    return [0, 1, 2, 3].flatMap((lane) => {
      const fed = trainingInputs(run, degradation, 7, lane, { images: new Uint8Array(2 * 768) })['context/field']!;
      return [0, 1].map((row) => fed.subarray(row * 256, (row + 1) * 256).join());
    });
  };

  it('is shared by as many images in a row as the run file says, across lanes', () => {
    expect(new Set(patterns({})).size).toBe(8);
    const shared = patterns({ patternImages: 3 });
    expect(shared.map((pattern) => shared.indexOf(pattern))).toEqual([0, 0, 0, 3, 3, 3, 6, 6]);
    expect(new Set(patterns({ patternImages: 32 })).size).toBe(1);
    expect(new Set(patterns({ randomSnow: false })).size).toBe(1);
  });
});
