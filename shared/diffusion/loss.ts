/** The training objective: predict x0 from D(x0, s), given t = s - 1. */
import * as tf from '@tensorflow/tfjs-core';
import type { Weights } from '../model/index.js';
import { network } from '../model/index.js';
import type { RunConfig } from '../protocol/index.js';
import type { Degradation, Tensors } from './degradation.js';

/** Mean over everything of |a - b| (l1) or (a - b)^2 (l2). */
export const reconstructionLoss = (a: tf.Tensor, b: tf.Tensor, kind: RunConfig['loss']): tf.Scalar =>
  kind === 'l1' ? tf.mean(tf.abs(tf.sub(a, b))) : tf.mean(tf.square(tf.sub(a, b)));

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
}

/** The step index t = s - 1 that the network is given, float32. */
export const stepIndex = (severity: tf.Tensor1D): tf.Tensor1D => tf.sub(tf.cast(severity, 'float32'), 1);

/** loss(x0, R(D(x0, s), s - 1)) for any restoration. */
export function restorationLoss(
  restore: Restoration,
  degradation: Degradation,
  kind: RunConfig['loss'],
  inputs: LossInputs,
): tf.Scalar {
  const degraded = degradation.applyInTraining(inputs.x0, inputs.severity, inputs.tables, inputs.context);
  return reconstructionLoss(inputs.x0, restore(degraded, stepIndex(inputs.severity)), kind);
}

/** The loss of a run as a function of weights and inputs; no value is read and nothing depends on data, so it can be traced. */
export function trainingLoss(
  run: Pick<RunConfig, 'network' | 'loss'>,
  degradation: Degradation,
): (weights: Weights, inputs: LossInputs) => tf.Scalar {
  return (weights, inputs) =>
    restorationLoss((x, t) => network(weights, x, t, run.network, inputs.dropout), degradation, run.loss, inputs);
}
