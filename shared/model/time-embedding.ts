/** The sinusoidal embedding of the step index. */
import * as tf from '@tensorflow/tfjs-core';
import { LN_10000, exactExp } from './exact-math.js';

/** Frequencies exp(-ln(10000) k / (half - 1)), k = 0..half-1, half = width / 2; the same bits everywhere. */
export function embeddingFrequencies(width: number): Float32Array {
  const half = width / 2;
  return Float32Array.from({ length: half }, (_, k) => exactExp((-LN_10000 * k) / (half - 1)));
}

/**
 * All sines, then all cosines. The frequencies become constants of a traced graph.
 * @param t [B] float32, the step index s - 1, unscaled.
 * @returns [B, width]
 */
export function sinusoidalEmbedding(t: tf.Tensor1D, width: number): tf.Tensor2D {
  const frequencies = tf.tensor2d(embeddingFrequencies(width), [1, width / 2]);
  const angle = tf.mul(tf.expandDims(t, 1), frequencies);
  return tf.concat([tf.sin(angle), tf.cos(angle)], 1) as tf.Tensor2D;
}
