/** Samplers with the affine stand-in network R(x, t)[c] = sum_k M[c, k] x[k] + v[c] (t + 1) / T. */
import * as tf from '@tensorflow/tfjs-core';
import type { Degradation, SamplingAlgorithm } from '@thaw/shared/diffusion';
import { createDegradation, planSampling, restorationLoss, traceSampler } from '@thaw/shared/diffusion';
import type { GoldenCase } from '../vectors.js';
import { blurConfig } from './blur.js';
import type { DegradeOptions, Images } from './images.js';
import { degrade, estimateNext, fromNchw, tableTensors, toNchw, withTensors } from './images.js';
import type { Runner } from './runner.js';

export const algorithmOf = (golden: GoldenCase): SamplingAlgorithm =>
  golden.params.sampling_routine === 'default' ? 'algorithm1' : 'algorithm2';

/** R on NHWC data, float64 sums rounded to float32. */
export function affineRestoration(
  golden: GoldenCase,
  steps: number,
  channels: number,
): (x: Float32Array, t: number) => Float32Array {
  const matrix = golden.floats('R_M');
  const offset = golden.floats('R_v');
  return (x, t) =>
    Float32Array.from(x, (_, i) => {
      const c = i % channels;
      let sum = (offset[c]! * (t + 1)) / steps;
      for (let k = 0; k < channels; k++) sum += matrix[c * channels + k]! * x[i - c + k]!;
      return sum;
    });
}

export interface SampledTrajectory {
  /** x_T .. x_1, NHWC. */
  readonly states: readonly Float32Array[];
  /** R(x_s, s - 1), s = T..1. */
  readonly estimates: readonly Float32Array[];
  readonly final: Float32Array;
}

/** All states of a sampler with the stand-in network from `start`. */
export async function sample(
  golden: GoldenCase,
  degradation: Degradation,
  start: Images,
  algorithm = algorithmOf(golden),
  options: DegradeOptions = {},
): Promise<SampledTrajectory> {
  const { shape } = start;
  const plan = planSampling({ algorithm, steps: degradation.steps });
  const { states, estimates, final } = await traceSampler(plan, start.data, {
    restore: affineRestoration(golden, degradation.steps, shape[3]),
    degrade: (x0, severity) =>
      degrade(degradation, { shape, data: x0 }, new Array<number>(shape[0]).fill(severity), options),
    estimateNext: (x, estimate, severity, nextSeverity) =>
      estimateNext(degradation, shape, x, estimate, severity, nextSeverity),
  });
  return { states: states.slice(0, -1), estimates, final };
}

export const fullyDegraded = (degradation: Degradation, x0: Images, options: DegradeOptions = {}): Images => ({
  shape: x0.shape,
  data: degrade(degradation, x0, new Array<number>(x0.shape[0]).fill(degradation.steps), options),
});

export const stacked = (list: readonly Float32Array[], shape: Images['shape']): number[] =>
  list.flatMap((x) => Array.from(toNchw(x, shape)));

function losses(golden: GoldenCase, degradation: Degradation, x0: Images): Record<string, ArrayLike<number>> {
  const channels = x0.shape[3];
  return withTensors(() => {
    const matrix = tf.tensor2d(golden.floats('R_M'), [channels, channels]);
    const offset = tf.tensor1d(golden.floats('R_v'));
    const restore = (x: tf.Tensor4D, t: tf.Tensor1D): tf.Tensor4D => {
      const mixed = tf.matMul(tf.reshape(x, [-1, channels]), matrix, false, true);
      return tf.add(
        tf.reshape(mixed, x.shape),
        tf.mul(tf.reshape(tf.div(tf.add(t, 1), degradation.steps), [-1, 1, 1, 1]), offset),
      );
    };
    const inputs = {
      x0: tf.tensor4d(x0.data, x0.shape),
      severity: tf.tensor1d(
        golden.integers('loss_t').map((t) => t + 1),
        'int32',
      ),
      tables: tableTensors(degradation),
      context: {},
    };
    return {
      loss_l1: restorationLoss(restore, degradation, 'l1', inputs).dataSync() as Float32Array,
      loss_l2: restorationLoss(restore, degradation, 'l2', inputs).dataSync() as Float32Array,
    };
  });
}

export const blurSamplers: Runner = {
  covers: /^sampler\/blur_(?!.*discrete)/,
  async run(golden) {
    const x0 = fromNchw(golden.input('x0'));
    const degradation = createDegradation(blurConfig(golden), { size: x0.shape[1], channels: x0.shape[3] });
    const { states, estimates, final } = await sample(golden, degradation, fullyDegraded(degradation, x0));
    return {
      xts: stacked(states, x0.shape),
      x0hats: stacked(estimates, x0.shape),
      final: toNchw(final, x0.shape),
      ...losses(golden, degradation, x0),
    };
  },
};

export const blurGeneration: Runner = {
  covers: /^sampler\/blur_.*discrete/,
  async run(golden) {
    const x0 = fromNchw(golden.input('x0'));
    const { shape } = x0;
    const degradation = createDegradation(blurConfig(golden), { size: shape[1], channels: shape[3] });
    const start = fullyDegraded(degradation, x0);
    const noise = fromNchw(golden.input('noise')).data;
    const level = golden.params.noise_level as number;
    const generated: Images = { shape, data: start.data.map((value, i) => value + level * noise[i]!) };
    const outputs: Record<string, ArrayLike<number>> = {};
    for (const [prefix, from] of [
      ['', start],
      ['gen_', generated],
    ] as const) {
      outputs[`${prefix}xT`] = toNchw(from.data, shape);
      outputs[`${prefix}direct`] = toNchw((await sample(golden, degradation, from, 'direct')).final, shape);
      outputs[`${prefix}final`] = toNchw((await sample(golden, degradation, from)).final, shape);
    }
    return outputs;
  },
};
