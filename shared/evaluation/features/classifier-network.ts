/** A small classifier of labelled images, whose last hidden layer is used as features. Plain tfjs. */
import * as tf from '@tensorflow/tfjs-core';
import type { ProgramDefinition, TensorSpec } from '@thaw/shared/engine';
import type { ParameterSpec } from '@thaw/shared/model';
import type { ImageShape } from '../estimates.js';

export interface ClassifierShape extends ImageShape {
  readonly classes: number;
}

/** Values of the last hidden layer. */
export const classifierDimensions = 64;

type Weights = Record<string, tf.Tensor>;

const convolution = (inputs: number, outputs: number): ParameterSpec => ({
  modelShape: [3, 3, inputs, outputs],
  officialShape: [outputs, inputs, 3, 3],
  officialPermutation: [3, 2, 0, 1],
  initial: { kind: 'uniform', fanIn: 9 * inputs },
});
const linear = (inputs: number, outputs: number): ParameterSpec => ({
  modelShape: [inputs, outputs],
  officialShape: [outputs, inputs],
  officialPermutation: [1, 0],
  initial: { kind: 'uniform', fanIn: inputs },
});
const bias = (inputs: number, outputs: number): ParameterSpec => ({
  modelShape: [outputs],
  officialShape: [outputs],
  officialPermutation: [0],
  initial: { kind: 'uniform', fanIn: inputs },
});

/** Parameters by name; shapes in PyTorch's layout and in the model's. */
export const classifierParameters = ({ channels, classes }: ClassifierShape): Record<string, ParameterSpec> => ({
  'conv1.weight': convolution(channels, 16),
  'conv1.bias': bias(9 * channels, 16),
  'conv2.weight': convolution(16, 32),
  'conv2.bias': bias(9 * 16, 32),
  'conv3.weight': convolution(32, 64),
  'conv3.bias': bias(9 * 32, 64),
  'hidden.weight': linear(64 * 4, classifierDimensions),
  'hidden.bias': bias(64 * 4, classifierDimensions),
  'classes.weight': linear(classifierDimensions, classes),
  'classes.bias': bias(classifierDimensions, classes),
});

/** Three convolutions, the second and third halving the image; means over the four quarters of what is left; one hidden layer. */
function hidden(weights: Weights, images: tf.Tensor4D): tf.Tensor2D {
  let x = images;
  for (const layer of ['conv1', 'conv2', 'conv3']) {
    const filtered = tf.conv2d(x, weights[`${layer}.weight`] as tf.Tensor4D, layer === 'conv1' ? 1 : 2, 'same');
    x = tf.relu(tf.add(filtered, weights[`${layer}.bias`]!));
  }
  const [batch, height, width, channels] = x.shape;
  const [top, left] = [Math.floor(height / 2), Math.floor(width / 2)];
  const quarter = (y: number, x0: number, h: number, w: number): tf.Tensor =>
    tf.mean(tf.slice(x, [0, y, x0, 0], [batch, h, w, channels]), [1, 2]);
  const pooled = tf.concat(
    [
      quarter(0, 0, top, left),
      quarter(0, left, top, width - left),
      quarter(top, 0, height - top, left),
      quarter(top, left, height - top, width - left),
    ],
    1,
  ) as tf.Tensor2D;
  return tf.relu(tf.add(tf.matMul(pooled, weights['hidden.weight'] as tf.Tensor2D), weights['hidden.bias']!));
}

const logits = (weights: Weights, features: tf.Tensor2D): tf.Tensor2D =>
  tf.add(tf.matMul(features, weights['classes.weight'] as tf.Tensor2D), weights['classes.bias']!);

const weightSpecs = (shape: ClassifierShape): Record<string, TensorSpec> =>
  Object.fromEntries(
    Object.entries(classifierParameters(shape)).map(([name, { modelShape }]) => [
      name,
      { shape: modelShape, dtype: 'float32' } satisfies TensorSpec,
    ]),
  );
const imagesSpec = ({ height, width, channels }: ClassifierShape, batch: number): TensorSpec => ({
  shape: [batch, height, width, channels],
  dtype: 'float32',
});

/** Inputs `images` [B, H, W, C] in [-1, 1], `labels` [B] int32. Outputs `loss` (mean cross-entropy) and gradients. */
export const classifierTraining = (shape: ClassifierShape, batch: number): ProgramDefinition => ({
  name: 'classifier-training',
  weights: weightSpecs(shape),
  inputs: { images: imagesSpec(shape, batch), labels: { shape: [batch], dtype: 'int32' } },
  fn: (weights, inputs) => {
    const scores = logits(weights, hidden(weights, inputs.images as tf.Tensor4D));
    const chosen = tf.oneHot(inputs.labels as tf.Tensor1D, shape.classes).toFloat();
    return { loss: tf.neg(tf.mean(tf.sum(tf.mul(tf.logSoftmax(scores), chosen), 1))) };
  },
  gradientOf: 'loss',
});

/** Input `images` [B, H, W, C] in [-1, 1]. Outputs `features` [B, 64] and `logits` [B, classes]. */
export const classifierForward = (shape: ClassifierShape, batch: number): ProgramDefinition => ({
  name: 'classifier',
  weights: weightSpecs(shape),
  inputs: { images: imagesSpec(shape, batch) },
  fn: (weights, inputs) => {
    const features = hidden(weights, inputs.images as tf.Tensor4D);
    return { features, logits: logits(weights, features) };
  },
});
