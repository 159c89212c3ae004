import * as tf from '@tensorflow/tfjs-core';
import type { Degradation } from '@thaw/shared/diffusion';
import { createDegradation } from '@thaw/shared/diffusion';
import { SnowConfigSchema } from '@thaw/shared/protocol';
import { atIndex, clippedZoom, snowLayer, snowLevels } from '../../../shared/diffusion/families/snow.js';
import type { GoldenCase } from '../vectors.js';
import type { DegradeOptions, Images } from './images.js';
import { degrade, fromNchw, tableTensors, toNchw, withTensors } from './images.js';
import type { Runner } from './runner.js';
import { fullyDegraded, sample, stacked } from './samplers.js';

function snowOf({ params }: GoldenCase, size: number): Degradation {
  const config = SnowConfigSchema.parse({
    family: 'snow',
    steps: params.num_timesteps ?? params.timesteps,
    level: params.snow_level,
    fixBrightness: params.fix_brightness,
    singleSnow: params.single_snow ?? false,
  });
  return createDegradation(config, { size, channels: 3 });
}

interface Pattern {
  /** Zoomed fields, [n, size, size]. */
  readonly fields: Float32Array;
  readonly count: number;
  readonly vertical: Float32Array;
}

/** One field per pattern; the streaks of image `row` at severity s are vertical where `vertical` says so. */
function patternOf(
  golden: GoldenCase,
  degradation: Degradation,
  vertical: (row: number, severity: number) => boolean,
): Pattern {
  const { size } = degradation.geometry;
  const raw = golden.floats('base_noise');
  const count = raw.length / (size * size);
  const { zoom } = snowLevels[golden.params.snow_level as 1];
  const fields = new Float32Array(raw.length);
  for (let n = 0; n < count; n++)
    fields.set(clippedZoom(raw.subarray(n * size * size, (n + 1) * size * size), size, zoom), n * size * size);
  const severities = degradation.steps + 1;
  return {
    fields,
    count,
    vertical: Float32Array.from({ length: count * severities }, (_, i) =>
      vertical(Math.floor(i / severities), i % severities) ? 1 : 0,
    ),
  };
}

const contextOf = (pattern: Pattern, degradation: Degradation): NonNullable<DegradeOptions['context']> => {
  const { size } = degradation.geometry;
  return {
    field: { data: pattern.fields, shape: [pattern.count, size, size] },
    vertical: { data: pattern.vertical, shape: [pattern.count, degradation.steps + 1] },
  };
};

/** Rows of `vertical_images`: for every stored step the images with vertical streaks. */
function verticalOf(golden: GoldenCase, indices: readonly number[]): (row: number, severity: number) => boolean {
  if (!golden.has('vertical_images')) return () => golden.params.vertical === true;
  const [stored, each] = golden.input('vertical_images').shape as [number, number];
  const images = golden.integers('vertical_images');
  return (row, severity) => {
    const k = indices.indexOf(severity - 1);
    return k >= 0 && k < stored && images.slice(k * each, (k + 1) * each).includes(row);
  };
}

export const snow: Runner = {
  covers: /^snow\//,
  run(golden) {
    const size = golden.params.image_size as number;
    const degradation = snowOf(golden, size);
    const { steps } = degradation;
    const indices = golden.integers('t');
    const pattern = patternOf(golden, degradation, verticalOf(golden, indices));
    const context = contextOf(pattern, degradation);
    const level = snowLevels[golden.params.snow_level as 1];
    const perIndex = (range: readonly [number, number]): number[] =>
      Array.from({ length: steps }, (_, i) => atIndex(range, steps, i + 1));
    const layers: number[] = [];
    const degraded: number[] = [];
    for (const index of indices) {
      const severities = new Array<number>(pattern.count).fill(index + 1);
      withTensors(() => {
        const tables = tableTensors(degradation) as { threshold: tf.Tensor; streak: tf.Tensor3D };
        const field = tf.tensor3d(pattern.fields, [pattern.count, size, size]);
        const vertical = tf.tensor2d(pattern.vertical, [pattern.count, steps + 1]);
        layers.push(...snowLayer(field, vertical, tf.tensor1d(severities, 'int32'), tables).dataSync());
      });
      if (golden.has('x0')) {
        const x0 = fromNchw(golden.input('x0'));
        degraded.push(...toNchw(degrade(degradation, x0, severities, { context }), x0.shape));
      }
    }
    return {
      zoomed: pattern.fields,
      snow: layers,
      xt: degraded,
      thresholds: perIndex(level.threshold),
      blur_sigmas: perIndex(level.sigma),
      brightness: perIndex(level.brightness),
    };
  },
};

export const snowSamplers: Runner = {
  covers: /^sampler\/snow_/,
  omits: {
    final: 'the official loop runs one severity too low (reference 12.1); chain and chain_final are the correct ones',
  },
  async run(golden) {
    const x0: Images = fromNchw(golden.input('x0'));
    const degradation = snowOf(golden, x0.shape[1]);
    const pattern = patternOf(golden, degradation, () => false);
    // One pattern for the whole batch.
    const [batch] = x0.shape;
    const repeat = (data: Float32Array): Float32Array =>
      Float32Array.from({ length: data.length * batch }, (_, i) => data[i % data.length]!);
    const shared = { fields: repeat(pattern.fields), vertical: repeat(pattern.vertical), count: batch };
    const options = { context: contextOf(shared, degradation) };
    const start = fullyDegraded(degradation, x0, options);
    const { states, final } = await sample(golden, degradation, start, undefined, options);
    return {
      xT: toNchw(start.data, start.shape),
      direct: toNchw((await sample(golden, degradation, start, 'direct')).final, start.shape),
      chain: stacked(states, start.shape),
      chain_final: toNchw(final, start.shape),
    };
  },
};
