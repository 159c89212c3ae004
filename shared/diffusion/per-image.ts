/** Small pieces of the families that act pixel by pixel. */
import * as tf from '@tensorflow/tfjs-core';
import type { Table } from './degradation.js';

/** Entry `severity` of a table [T + 1], one per image: [B, 1, 1, 1]. */
export const scalarAt = (table: tf.Tensor, severity: tf.Tensor1D): tf.Tensor4D =>
  tf.reshape(tf.gather(table as tf.Tensor1D, severity), [-1, 1, 1, 1]);

/** Plane `severity` of a table [T + 1, H, W], one per image: [B, H, W, 1]. */
export const planeAt = (table: tf.Tensor, severity: tf.Tensor1D): tf.Tensor4D =>
  tf.expandDims(tf.gather(table as tf.Tensor3D, severity), 3) as tf.Tensor4D;

/** weight x + (1 - weight) y; exactly x where the weight is 1. */
export const blend = (x: tf.Tensor4D, y: tf.Tensor4D, weight: tf.Tensor4D): tf.Tensor4D =>
  tf.add(tf.mul(weight, x), tf.mul(tf.sub(1, weight), y));

/** A table [T + 1] from a function of the severity. */
export const severityTable = (steps: number, value: (severity: number) => number): Table => ({
  shape: [steps + 1],
  data: Float32Array.from({ length: steps + 1 }, (_, s) => value(s)),
});
