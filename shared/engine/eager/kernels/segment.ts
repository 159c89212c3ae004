import * as tf from '@tensorflow/tfjs-core';
import type { Tensor1D } from '@tensorflow/tfjs-core';
import type { KernelFunction } from './table.js';

/** Adds rows by segment, as a product with a matrix of zeros and ones. Used by the gradient of tf.gather. */
export const unsortedSegmentSum: KernelFunction = ({ x, segmentIds }, attrs) => {
  const numSegments = attrs['numSegments'] as number;
  const rows = tf.reshape(x!, [x!.shape[0]!, -1]);
  const membership = tf.transpose(tf.cast(tf.oneHot(segmentIds as Tensor1D, numSegments), 'float32'));
  return tf.reshape(tf.matMul(membership, rows), [numSegments, ...x!.shape.slice(1)]);
};
