/** The training objectives, by the official names (`train_routine`; section 4 of the reference). */
import * as tf from '@tensorflow/tfjs-core';
import type { Weights } from '../model/index.js';
import { network } from '../model/index.js';
import type { RunConfig } from '../protocol/index.js';
import type { Degradation, Tensors } from './degradation.js';
import { required } from './degradation.js';

export type TrainRoutine = RunConfig['trainRoutine'];

/** Over everything: mean of |a - b| (l1), of (a - b)^2 (l2), or the root of the first (sqrt). */
export function reconstructionLoss(a: tf.Tensor, b: tf.Tensor, kind: RunConfig['loss']): tf.Scalar {
  const difference = tf.sub(a, b);
  if (kind === 'l2') return tf.mean(tf.square(difference));
  const absolute: tf.Scalar = tf.mean(tf.abs(difference));
  return kind === 'sqrt' ? tf.sqrt(absolute) : absolute;
}

/** R(x, t) as a function of tensors. */
export type Restoration = (x: tf.Tensor4D, t: tf.Tensor1D) => tf.Tensor4D;

export interface LossInputs {
  /** [B, H, W, C] float32 in [-1, 1]. */
  readonly x0: tf.Tensor4D;
  /** [B] int32 in 1..T. */
  readonly severity: tf.Tensor1D;
  readonly tables: Tensors;
  readonly context: Tensors;
  /** Dropout masks of the network, batch axis first; none: nothing is dropped. */
  readonly dropout?: Tensors;
  /** Standard normal draws of the routine, see {@link targetShapes}. */
  readonly target?: Tensors;
}

/** The step index t = s - 1 that the network is given, float32. */
export const stepIndex = (severity: tf.Tensor1D): tf.Tensor1D => tf.sub(tf.cast(severity, 'float32'), 1);

/** Shapes of the standard normal draws that a routine wants for one image, by name. */
export function targetShapes(
  routine: TrainRoutine,
  { size, channels }: { readonly size: number; readonly channels: number },
): Record<string, readonly number[]> {
  if (routine === 'Final_small_noise') return { noise: [size, size, channels] };
  if (routine === 'Final_random_mean' || routine === 'Final_random_mean_and_actual') return { mean: [channels] };
  return {};
}

/** Deviation of the noise of Final_small_noise. */
const smallNoise = 0.001;
/** Added to the norm that Gradient_norm divides by. */
const normEpsilon = 1e-5;

/** x0 with the mean of every channel replaced by `means` [B, C]. */
const withMeans = (x0: tf.Tensor4D, means: tf.Tensor2D): tf.Tensor4D =>
  tf.add(tf.sub(x0, tf.mean(x0, [1, 2], true)), tf.reshape(means, [x0.shape[0], 1, 1, x0.shape[3]]));

/**
 * The loss of a routine for any restoration. `applyInTraining` makes what the network sees; what it is compared with is never
 * truncated to 8 bits. Both are in the network's space.
 */
export function restorationLoss(
  restore: Restoration,
  degradation: Degradation,
  kind: RunConfig['loss'],
  inputs: LossInputs,
  routine: TrainRoutine = 'Final',
): tf.Scalar {
  const { x0, severity, tables, context, target = {} } = inputs;
  const degrade = (image: tf.Tensor4D): tf.Tensor4D => degradation.applyInTraining(image, severity, tables, context);
  const seen = (image: tf.Tensor4D): tf.Tensor4D => degradation.networkSpace?.toNetwork(image) ?? image;
  const predict = (degraded: tf.Tensor4D): tf.Tensor4D => restore(seen(degraded), stepIndex(severity));
  const final = (image: tf.Tensor4D): tf.Scalar => reconstructionLoss(seen(image), predict(degrade(image)), kind);
  const withRandomMeans = (): tf.Tensor4D => withMeans(x0, required<tf.Tensor2D>(target, 'mean'));
  // D(x0, s - 1): the next cleaner state; the clean image itself for s = 1.
  const next = (): tf.Tensor4D => degradation.apply(x0, tf.sub(severity, tf.scalar(1, 'int32')), tables, context);
  switch (routine) {
    case 'Final':
      return final(x0);
    case 'Final_small_noise':
      return final(tf.add(x0, tf.mul(required<tf.Tensor4D>(target, 'noise'), smallNoise)));
    case 'Final_random_mean':
      return final(withRandomMeans());
    case 'Final_random_mean_and_actual':
      return tf.add(final(x0), final(withRandomMeans()));
    case 'Gradient_norm': {
      const degraded = degrade(x0);
      const gradient = tf.sub(seen(degraded), seen(x0));
      const norm = tf.sqrt(tf.sum(tf.square(gradient), [1, 2, 3], true));
      return reconstructionLoss(tf.div(gradient, tf.add(norm, normEpsilon)), predict(degraded), kind);
    }
    case 'Step':
      return reconstructionLoss(seen(next()), predict(degrade(x0)), kind);
    case 'Step_Gradient': {
      const degraded = degrade(x0);
      return reconstructionLoss(tf.sub(seen(next()), seen(degraded)), predict(degraded), kind);
    }
  }
}

/** The loss of a run as a function of weights and inputs; no value is read and nothing depends on data, so it can be traced. */
export function trainingLoss(
  run: Pick<RunConfig, 'network' | 'loss'> & Partial<Pick<RunConfig, 'trainRoutine'>>,
  degradation: Degradation,
): (weights: Weights, inputs: LossInputs) => tf.Scalar {
  return (weights, inputs) =>
    restorationLoss(
      (x, t) => network(weights, x, t, run.network, inputs.dropout),
      degradation,
      run.loss,
      inputs,
      run.trainRoutine,
    );
}
