/** The DDPM-style U-Net of the official code (class `Model`) in plain tfjs ops, NHWC: group norm, swish, softmax attention. */
import * as tf from '@tensorflow/tfjs-core';
import type { DdpmUnetConfig } from '../protocol/index.js';
import type { Level, ResidualBlock } from './ddpm-unet-spec.js';
import { ddpmPlan } from './ddpm-unet-spec.js';
import type { Weights } from './layers.js';
import { convolution, linear, parameter, part } from './layers.js';
import { sinusoidalEmbedding } from './time-embedding.js';

const groups = 32;
/** Added to the variance of the norm, inside the root. */
const normEpsilon = 1e-6;

export const swish = <T extends tf.Tensor>(x: T): T => tf.mul(x, tf.sigmoid(x)) as T;

/** Norm over pixels and channels of each of 32 groups of an image, biased variance, gain and shift per channel. */
export function groupNorm(weights: Weights, name: string, x: tf.Tensor4D): tf.Tensor4D {
  const [batch, height, width, channels] = x.shape;
  const grouped = tf.reshape(x, [batch, height * width, groups, channels / groups]);
  const centred = tf.sub(grouped, tf.mean(grouped, [1, 3], true));
  const variance = tf.mean(tf.square(centred), [1, 3], true);
  const normalised = tf.reshape(tf.mul(centred, tf.rsqrt(tf.add(variance, normEpsilon))), x.shape);
  return tf.add(tf.mul(normalised, parameter(weights, `${name}.weight`)), parameter(weights, `${name}.bias`));
}

/** x + attention(norm(x)): one head, softmax over all pixels. */
export function softmaxAttention(weights: Weights, prefix: string, x: tf.Tensor4D): tf.Tensor4D {
  const [batch, height, width, channels] = x.shape;
  const normed = groupNorm(weights, `${prefix}.norm`, x);
  const [query, key, value] = ['q', 'k', 'v'].map((part) =>
    tf.reshape(convolution(weights, `${prefix}.${part}`, normed), [batch, height * width, channels]),
  ) as [tf.Tensor3D, tf.Tensor3D, tf.Tensor3D];
  const attention = tf.softmax(tf.mul(tf.matMul(query, key, false, true), 1 / Math.sqrt(channels)));
  const attended = tf.reshape(tf.matMul(attention, value), x.shape) as tf.Tensor4D;
  return tf.add(x, convolution(weights, `${prefix}.proj_out`, attended));
}

/** @param mask factors [B, h, w, outputs] of the values before the second convolution; absent: nothing is dropped. */
function residualBlock(
  weights: Weights,
  { prefix, inputs, outputs }: ResidualBlock,
  x: tf.Tensor4D,
  time: tf.Tensor2D,
  mask: tf.Tensor | undefined,
): tf.Tensor4D {
  let hidden = convolution(weights, `${prefix}.conv1`, swish(groupNorm(weights, `${prefix}.norm1`, x)));
  const shift = linear(weights, `${prefix}.temb_proj`, swish(time));
  hidden = tf.add(hidden, tf.reshape(shift, [x.shape[0], 1, 1, outputs]));
  hidden = swish(groupNorm(weights, `${prefix}.norm2`, hidden));
  if (mask !== undefined) hidden = tf.mul(hidden, mask);
  hidden = convolution(weights, `${prefix}.conv2`, hidden);
  return tf.add(inputs === outputs ? x : convolution(weights, `${prefix}.nin_shortcut`, x), hidden);
}

/** Every pixel becomes a square of four. */
function enlarge(x: tf.Tensor4D): tf.Tensor4D {
  const [batch, height, width, channels] = x.shape;
  const pixel = tf.reshape(x, [batch * height * width, 1, channels]);
  const row = tf.reshape(tf.concat([pixel, pixel], 1), [batch * height, 1, width * 2 * channels]);
  return tf.reshape(tf.concat([row, row], 1), [batch, height * 2, width * 2, channels]);
}

/**
 * The network's estimate of x0.
 * @param weights by official name, model layout.
 * @param x [B, H, H, C], H divisible by 2^(levels - 1).
 * @param t [B] float32, the step index s - 1; taken as 0 without time embedding, as the official code does.
 * @param dropout factors by block, 0 or 1 / (1 - p), [B, h, w, c]; a block without an entry drops nothing (sampling: {}).
 * @returns [B, H, H, C], a new tensor.
 */
export function ddpmUnet(
  weights: Weights,
  x: tf.Tensor4D,
  t: tf.Tensor1D,
  config: DdpmUnetConfig,
  dropout: Weights = {},
): tf.Tensor4D {
  const plan = ddpmPlan(config, x.shape[1]);
  const embedded = linear(
    weights,
    'temb.dense.0',
    sinusoidalEmbedding(config.timeEmbedding === false ? tf.zerosLike(t) : t, config.dim),
  );
  const time = linear(weights, 'temb.dense.1', swish(embedded));
  const apply = (level: number, block: ResidualBlock, input: () => tf.Tensor4D): tf.Tensor4D =>
    part(level, block.prefix, () => residualBlock(weights, block, input(), time, dropout[block.prefix]));
  const attention = (level: number, prefix: string, input: tf.Tensor4D): tf.Tensor4D =>
    part(level, prefix, () => softmaxAttention(weights, prefix, input));
  const attend = (way: 'down' | 'up', level: Level, j: number, input: tf.Tensor4D): tf.Tensor4D =>
    level.attention ? attention(level.index, `${way}.${level.index}.attn.${j}`, input) : input;

  const last = plan.down.length - 1;
  let hidden = convolution(weights, 'conv_in', x);
  const skips = [hidden];
  for (const level of plan.down) {
    level.blocks.forEach((block, j) => {
      const output = apply(level.index, block, () => hidden);
      skips.push((hidden = attend('down', level, j, output)));
    });
    // Padding at the right and the bottom only: "same" on even sizes.
    if (level.index < last)
      skips.push((hidden = convolution(weights, `down.${level.index}.downsample.conv`, hidden, 2)));
  }
  hidden = apply(last, plan.middle[0], () => hidden);
  hidden = attention(last, 'mid.attn_1', hidden);
  hidden = apply(last, plan.middle[1], () => hidden);
  for (const level of [...plan.up].reverse()) {
    level.blocks.forEach((block, j) => {
      const joined = (): tf.Tensor4D => tf.concat([hidden, skips.pop()!], 3) as tf.Tensor4D;
      hidden = attend('up', level, j, apply(level.index, block, joined));
    });
    if (level.index > 0) hidden = convolution(weights, `up.${level.index}.upsample.conv`, enlarge(hidden));
  }
  return convolution(weights, 'conv_out', swish(groupNorm(weights, 'norm_out', hidden)));
}
