/**
 * The ConvNeXt U-Net of Cold Diffusion (Bansal et al. 2022, official class `Unet`) in plain tfjs ops, NHWC. The first,
 * full-resolution skip is pushed and never used, as in the official code.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { UnetConfig } from '../protocol/index.js';
import type { Weights } from './layers.js';
import { convNextBlock, convolution, downsample, gelu, linear, linearAttention, part, upsample } from './layers.js';
import { sinusoidalEmbedding } from './time-embedding.js';

/** What a caller may look at on the way (tests, visualisation); tensors belong to the caller's tidy. */
export type Observer = (name: string, value: tf.Tensor) => void;

/** Mean over pixels and channels, [B, 1, 1, 1]. */
const imageMean = (x: tf.Tensor4D): tf.Tensor => tf.mean(x, [1, 2, 3], true);

/**
 * The network's estimate of x0.
 * @param weights by official name, model layout ({@link unetWeightSpecs}).
 * @param x [B, H, W, C], H and W divisible by 2^(stages - 1).
 * @param t [B] float32, the step index s - 1 (ignored without time embedding).
 * @returns [B, H, W, C], a new tensor.
 */
export function unet(
  weights: Weights,
  x: tf.Tensor4D,
  t: tf.Tensor1D,
  config: UnetConfig,
  observe?: Observer,
): tf.Tensor4D {
  let time: tf.Tensor2D | undefined;
  if (config.timeEmbedding) {
    const sinusoid = sinusoidalEmbedding(t, config.dim);
    observe?.('sinusoid', sinusoid);
    time = linear(weights, 'time_mlp.3', gelu(linear(weights, 'time_mlp.1', sinusoid)));
    observe?.('time', time);
  }
  const last = config.mults.length - 1;
  const skips: tf.Tensor4D[] = [];
  let hidden = x;
  const block = (level: number, prefix: string, input: () => tf.Tensor4D): tf.Tensor4D =>
    part(level, prefix, () => convNextBlock(weights, prefix, input(), time));
  const attend = (level: number, prefix: string, input: tf.Tensor4D): tf.Tensor4D =>
    part(level, prefix, () => linearAttention(weights, prefix, input));
  for (let stage = 0; stage <= last; stage++) {
    hidden = block(stage, `downs.${stage}.0.`, () => hidden);
    if (stage === 0) observe?.('block0', hidden);
    hidden = block(stage, `downs.${stage}.1.`, () => hidden);
    hidden = attend(stage, `downs.${stage}.2.`, hidden);
    observe?.(`skip${stage}`, hidden);
    skips.push(hidden);
    if (stage < last) hidden = downsample(weights, `downs.${stage}.3`, hidden);
  }
  hidden = block(last, 'mid_block1.', () => hidden);
  hidden = attend(last, 'mid_attn.', hidden);
  hidden = block(last, 'mid_block2.', () => hidden);
  observe?.('mid', hidden);
  for (let up = 0; up < last; up++) {
    const level = last - up;
    hidden = block(level, `ups.${up}.0.`, () => tf.concat([hidden, skips[level]!], 3) as tf.Tensor4D);
    hidden = block(level, `ups.${up}.1.`, () => hidden);
    hidden = attend(level, `ups.${up}.2.`, hidden);
    hidden = upsample(weights, `ups.${up}.3`, hidden);
    observe?.(`up${up}`, hidden);
  }
  hidden = part(0, 'final_conv.0.', () => convNextBlock(weights, 'final_conv.0.', hidden, undefined));
  const output = convolution(weights, 'final_conv.1', hidden);
  if (config.residual) return tf.add(output, x);
  // The official signs: the mean of the input is taken off, that of the output is added to what has it already.
  return config.outputMeanScale ? tf.add(tf.sub(output, imageMean(x)), imageMean(output)) : output;
}
