/** Initial weights: PyTorch's default initialisation, drawn from the run's seed with exact arithmetic only. */
import type { NetworkConfig } from '../protocol/index.js';
import { RandomStream } from '../runtime/index.js';
import type { ParameterSpec } from './layout.js';
import { fromOfficial, sizeOf } from './layout.js';
import type { NetworkImages } from './ddpm-unet-spec.js';
import { networkWeightSpecs } from './network.js';

/** Weights by official name, model layout, of the parameters in `specs`. Parameter i is drawn in official order from row i of the stream. */
export function drawWeights(
  specs: Readonly<Record<string, ParameterSpec>>,
  seed: number,
): Record<string, Float32Array> {
  const weights: Record<string, Float32Array> = {};
  Object.entries(specs).forEach(([name, spec], position) => {
    const values = new Float32Array(sizeOf(spec.modelShape));
    if (spec.initial.kind === 'constant') values.fill(spec.initial.value);
    else {
      const bound = 1 / Math.sqrt(spec.initial.fanIn);
      const stream = new RandomStream(seed, 'init', 0, 0, position);
      for (let i = 0; i < values.length; i++) values[i] = (2 * stream.uniform() - 1) * bound;
    }
    weights[name] = fromOfficial(spec, values);
  });
  return weights;
}

/**
 * Initial weights of a network, by official name, in model layout. Uniform in +-1/sqrt(fan_in) for weights and biases, gains 1,
 * shifts 0, and zero for the last convolution with `zeroInitLast`. The same bits on every machine.
 */
export const initialWeights = (
  config: NetworkConfig,
  images: NetworkImages,
  seed: number,
): Record<string, Float32Array> => drawWeights(networkWeightSpecs(config, images), seed);
