/** The layers of the ConvNeXt U-Net in plain tfjs ops on NHWC maps. Weights are given by official name in model layout. */
import * as tf from '@tensorflow/tfjs-core';
import { attentionHeadWidth, attentionHeads } from './unet-spec.js';

export type Weights = Readonly<Record<string, tf.Tensor>>;

/** Added to the variance of the norm, inside the root. */
const normEpsilon = 1e-5;

/** The parameter, or an error that names it (a bug in the caller, not bad input). */
export function parameter<R extends tf.Rank>(weights: Weights, name: string): tf.Tensor<R> {
  const value = weights[name];
  if (value === undefined) throw new Error(`the network has no parameter ${name}`);
  return value as tf.Tensor<R>;
}

/** A part of a network whose inner values the engine may compute again for the way back (`Segment` of the engine); level 0 is the finest. */
export const part = (level: number, name: string, body: () => tf.Tensor4D): tf.Tensor4D =>
  tf.tidy(`level ${level}: ${name}`, body);

/** GELU in its exact form, x * (1 + erf(x / sqrt 2)) / 2. */
export const gelu = <T extends tf.Tensor>(x: T): T =>
  tf.mul(tf.mul(x, 0.5), tf.add(tf.erf(tf.mul(x, Math.SQRT1_2)), 1)) as T;

/** x [B, in] to [B, out]. */
export const linear = (weights: Weights, name: string, x: tf.Tensor2D): tf.Tensor2D =>
  tf.add(tf.matMul(x, parameter<tf.Rank.R2>(weights, `${name}.weight`)), parameter(weights, `${name}.bias`));

/** Convolution with "same" padding and bias. */
export const convolution = (weights: Weights, name: string, x: tf.Tensor4D, stride = 1): tf.Tensor4D =>
  tf.add(
    tf.conv2d(x, parameter<tf.Rank.R4>(weights, `${name}.weight`), stride, 'same'),
    parameter(weights, `${name}.bias`),
  );

/** Norm over the channels of each pixel, biased variance, gain and shift per channel. */
export function channelNorm(weights: Weights, name: string, x: tf.Tensor4D): tf.Tensor4D {
  const centred = tf.sub(x, tf.mean(x, -1, true));
  const variance = tf.mean(tf.square(centred), -1, true);
  const normalised = tf.mul(centred, tf.rsqrt(tf.add(variance, normEpsilon)));
  return tf.add(tf.mul(normalised, parameter(weights, `${name}.g`)), parameter(weights, `${name}.b`));
}

/**
 * ConvNeXt block. Time, norm and the 1x1 shortcut are there when their parameters are.
 * @param time [B, timeWidth], output of the time network.
 */
export function convNextBlock(
  weights: Weights,
  prefix: string,
  x: tf.Tensor4D,
  time: tf.Tensor2D | undefined,
): tf.Tensor4D {
  const [batch, , , channels] = x.shape;
  let hidden: tf.Tensor4D = tf.add(
    tf.depthwiseConv2d(x, parameter<tf.Rank.R4>(weights, `${prefix}ds_conv.weight`), 1, 'same'),
    parameter(weights, `${prefix}ds_conv.bias`),
  );
  if (`${prefix}mlp.1.weight` in weights) {
    if (time === undefined) throw new Error(`block ${prefix} needs the time embedding`);
    hidden = tf.add(hidden, tf.reshape(linear(weights, `${prefix}mlp.1`, gelu(time)), [batch, 1, 1, channels]));
  }
  if (`${prefix}net.0.g` in weights) hidden = channelNorm(weights, `${prefix}net.0`, hidden);
  hidden = convolution(weights, `${prefix}net.3`, gelu(convolution(weights, `${prefix}net.1`, hidden)));
  return tf.add(hidden, `${prefix}res_conv.weight` in weights ? convolution(weights, `${prefix}res_conv`, x) : x);
}

/** x + attention(norm(x)), the cost linear in the pixels: softmax over pixels of the keys only. */
export function linearAttention(weights: Weights, prefix: string, x: tf.Tensor4D): tf.Tensor4D {
  const [batch, height, width] = x.shape;
  const pixels = height * width;
  const normed = channelNorm(weights, `${prefix}fn.norm`, x);
  // One filter per part: the three maps are never laid out side by side.
  const [query, key, value] = tf
    .split(parameter<tf.Rank.R4>(weights, `${prefix}fn.fn.to_qkv.weight`), 3, 3)
    .map((filter) => {
      const map = tf.conv2d(normed, filter as tf.Tensor4D, 1, 'same');
      // [batch, heads, channels of a head, pixels]
      return tf.transpose(tf.reshape(map, [batch, pixels, attentionHeads, attentionHeadWidth]), [0, 2, 3, 1]);
    }) as [tf.Tensor4D, tf.Tensor4D, tf.Tensor4D];
  const context = tf.matMul(tf.softmax(key), value, false, true); // [batch, heads, d, e]
  const attended = tf.matMul(context, tf.mul(query, 1 / Math.sqrt(attentionHeadWidth)), true, false); // [batch, heads, e, pixels]
  const map = tf.reshape(tf.transpose(attended, [0, 3, 1, 2]), [
    batch,
    height,
    width,
    attentionHeads * attentionHeadWidth,
  ]) as tf.Tensor4D;
  return tf.add(convolution(weights, `${prefix}fn.fn.to_out`, map), x);
}

/** Halves height and width (even sizes). */
export const downsample = (weights: Weights, name: string, x: tf.Tensor4D): tf.Tensor4D =>
  convolution(weights, name, x, 2);

/** Doubles height and width. */
export function upsample(weights: Weights, name: string, x: tf.Tensor4D): tf.Tensor4D {
  const [batch, height, width, channels] = x.shape;
  const filter = parameter<tf.Rank.R4>(weights, `${name}.weight`);
  return tf.add(
    tf.conv2dTranspose(x, filter, [batch, height * 2, width * 2, channels], 2, 'same'),
    parameter(weights, `${name}.bias`),
  );
}
