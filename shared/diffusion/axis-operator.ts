/** Operators that act alike on both axes of an image: D(x, s) = A_s x A_s^T per channel, one precomposed matrix per severity. */
import * as tf from '@tensorflow/tfjs-core';
import type { Table } from './degradation.js';

/**
 * A_s x A_s^T, s different per image; cost 4 H^3 C whatever s is.
 * @param x [B, H, H, C]
 * @param matrices [T + 1, H, H]
 * @param severity [B] int32
 */
export function applyAxisOperator(x: tf.Tensor4D, matrices: tf.Tensor3D, severity: tf.Tensor1D): tf.Tensor4D {
  const [batch, size, , channels] = x.shape;
  const operator = tf.gather(matrices, severity);
  if (channels === 1) {
    const plane = tf.reshape(x, [batch, size, size]);
    return tf.reshape(tf.matMul(tf.matMul(operator, plane), operator, false, true), x.shape);
  }
  const alongFirst = (image: tf.Tensor4D): tf.Tensor4D =>
    tf.reshape(tf.matMul(operator, tf.reshape(image, [batch, size, size * channels])), x.shape);
  const swapped = tf.transpose(alongFirst(x), [0, 2, 1, 3]);
  return tf.transpose(alongFirst(swapped), [0, 2, 1, 3]);
}

/** A linear map of an axis, given by what it does to the rows of a matrix [size, size]. */
export type RowMap = (rows: Float64Array) => Float64Array;

export function identityMatrix(size: number): Float64Array {
  const matrix = new Float64Array(size * size);
  for (let i = 0; i < size; i++) matrix[i * size + i] = 1;
  return matrix;
}

/** The matrices A_0 = I, A_s = step_{s-1} A_{s-1} in float64, rounded to float32 once at the end. */
export function composeAxisOperators(size: number, steps: number, step: (index: number) => RowMap): Table {
  const data = new Float32Array((steps + 1) * size * size);
  let matrix = identityMatrix(size);
  data.set(matrix, 0);
  for (let s = 1; s <= steps; s++) {
    matrix = step(s - 1)(matrix);
    data.set(matrix, s * size * size);
  }
  return { shape: [steps + 1, size, size], data };
}
