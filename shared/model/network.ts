/** The network of a run, whichever kind it is. */
import type * as tf from '@tensorflow/tfjs-core';
import type { NetworkConfig } from '../protocol/index.js';
import type { RandomStream } from '../runtime/index.js';
import type { NetworkImages } from './ddpm-unet-spec.js';
import { ddpmDropoutShapes, ddpmWeightSpecs } from './ddpm-unet-spec.js';
import { ddpmUnet } from './ddpm-unet.js';
import type { Weights } from './layers.js';
import type { ParameterSpec } from './layout.js';
import { sizeOf } from './layout.js';
import { unetWeightSpecs } from './unet-spec.js';
import { unet } from './unet.js';

/** Parameters by official name, in the order of the official state_dict. */
export const networkWeightSpecs = (config: NetworkConfig, images: NetworkImages): Record<string, ParameterSpec> =>
  config.kind === 'ddpm-unet' ? ddpmWeightSpecs(config, images) : unetWeightSpecs(config, images.channels);

/**
 * R(x, t), [B, H, H, C].
 * @param dropout masks of {@link dropoutShapes}, batch axis first; {} outside training.
 */
export const network = (
  weights: Weights,
  x: tf.Tensor4D,
  t: tf.Tensor1D,
  config: NetworkConfig,
  dropout: Weights = {},
): tf.Tensor4D =>
  config.kind === 'ddpm-unet' ? ddpmUnet(weights, x, t, config, dropout) : unet(weights, x, t, config);

/** Shapes [h, w, c] of the dropout masks that training gives to the network, by name; empty when it drops nothing. */
export const dropoutShapes = (config: NetworkConfig, size: number): Record<string, readonly number[]> =>
  config.kind === 'ddpm-unet' ? ddpmDropoutShapes(config, size) : {};

/** The masks of one training image: 1 / (1 - p), or 0 with probability p, drawn mask after mask from `stream`. */
export function drawDropout(config: NetworkConfig, size: number, stream: RandomStream): Record<string, Float32Array> {
  const probability = config.kind === 'ddpm-unet' ? config.dropout : 0;
  const kept = Math.fround(1 / (1 - probability));
  return Object.fromEntries(
    Object.entries(dropoutShapes(config, size)).map(([name, shape]) => {
      const mask = new Float32Array(sizeOf(shape));
      for (let i = 0; i < mask.length; i++) mask[i] = stream.uniform() < probability ? 0 : kept;
      return [name, mask];
    }),
  );
}
