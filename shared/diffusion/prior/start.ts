/** Where generation starts: x_T without a clean image (section 6 of the reference). */
import type { DegradationConfig } from '../../protocol/index.js';
import { ThawError } from '../../protocol/index.js';
import type { RandomStream } from '../../runtime/index.js';
import type { ImageGeometry } from '../degradation.js';
import type { Mixture } from './mixture.js';
import { drawFromMixture } from './mixture.js';

/**
 * prior: a constant colour from a mixture fitted to the channel means of the training images.
 * nothing: D(0, T), which is the noise or the colour that was drawn.
 */
export type GenerationStart = 'prior' | 'nothing';

/**
 * How a degradation's generation starts.
 * @throws ThawError THAW_SAMPLING_INVALID for degradations whose last severity still shows the image
 */
export function generationStart(config: DegradationConfig): GenerationStart {
  if (config.family === 'blur' && config.discrete) return 'prior';
  if (config.family === 'noise' || (config.family === 'colour-mask' && config.reverse)) return 'nothing';
  const settings =
    config.family === 'blur' ? ' without "discrete"' : config.family === 'colour-mask' ? ' without "reverse"' : '';
  throw new ThawError(
    'THAW_SAMPLING_INVALID',
    `mode: nothing can be generated with the degradation "${config.family}"${settings}.`,
    { cure: 'Use a run whose degradation is blur with discrete, noise, or colour-mask with reverse.' },
  );
}

/** Deviation of the noise that breaks the symmetry of a constant start, as published. */
export const publishedStartNoise = 0.002;

/** A constant colour drawn from the mixture, plus normal noise of deviation `noise` per value. [H, W, C] in about [-1, 1]. */
export function drawStart(
  { mixture, noise }: { readonly mixture: Mixture; readonly noise: number },
  { size, channels }: ImageGeometry,
  stream: RandomStream,
): Float32Array {
  const colour = drawFromMixture(mixture, stream);
  return Float32Array.from({ length: size * size * channels }, (_, i) =>
    noise === 0 ? colour[i % channels]! : colour[i % channels]! + noise * stream.normal(),
  );
}
