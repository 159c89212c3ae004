/** Where generation starts: x_T without a clean image (section 6 of the reference). */
import type { DegradationConfig } from '../../protocol/index.js';
import { shrunkSize, ThawError } from '../../protocol/index.js';
import type { RandomStream } from '../../runtime/index.js';
import type { ImageGeometry } from '../degradation.js';
import type { Mixture } from './mixture.js';
import { drawFromMixture } from './mixture.js';
import { enlargeNearest } from './shrunk.js';

/**
 * prior: an image of a few pixels from a mixture fitted to degraded and shrunk training images, enlarged.
 * nothing: D(0, T), which is the noise, the colour or the picture that was drawn.
 */
export interface GenerationStart {
  readonly from: 'prior' | 'nothing';
  /** Deviation of the noise added to x_T unless asked for otherwise; undefined: none can be added, the start is noise. */
  readonly noise: number | undefined;
}

/** Deviation of the noise that breaks the symmetry of a constant start, as published. */
export const publishedStartNoise = 0.002;

/**
 * How a degradation's generation starts.
 * @throws ThawError THAW_SAMPLING_INVALID for degradations whose last severity still shows the image
 */
export function generationStart(config: DegradationConfig): GenerationStart {
  if (config.family === 'blur') return { from: 'prior', noise: publishedStartNoise };
  if (config.family === 'super-resolution') return { from: 'prior', noise: 0 };
  if (config.family === 'noise') return { from: 'nothing', noise: undefined };
  if (config.family === 'animorphosis' || (config.family === 'colour-mask' && config.reverse))
    return { from: 'nothing', noise: 0 };
  const settings = config.family === 'colour-mask' ? ' without "reverse"' : '';
  throw new ThawError(
    'THAW_SAMPLING_INVALID',
    `mode: nothing can be generated with the degradation "${config.family}"${settings}.`,
    {
      cure: 'Use a run whose degradation is blur, super-resolution, noise, animorphosis, or colour-mask with reverse.',
    },
  );
}

/**
 * Edge of the shrunk images that a prior is fitted to unless asked for otherwise: one pixel where the last severity is one colour, all
 * that is left in super-resolution. Undefined: it has to be said.
 */
export function usualPriorEdge(config: DegradationConfig, size: number): number | undefined {
  if (config.family === 'super-resolution') return shrunkSize(config, size, config.steps - 1);
  return config.family === 'blur' && config.discrete ? 1 : undefined;
}

/** An image drawn from the mixture, [edge, edge, C], enlarged to [H, W, C] without smoothing. */
export function drawFromPrior(
  { mixture, edge }: { readonly mixture: Mixture; readonly edge: number },
  { size, channels }: ImageGeometry,
  stream: RandomStream,
): Float32Array {
  return enlargeNearest(drawFromMixture(mixture, stream), edge, size, channels);
}

/** Normal noise of deviation `noise` for every value. */
export const drawStartNoise = (noise: number, length: number, stream: RandomStream): Float32Array =>
  Float32Array.from({ length }, () => noise * stream.normal());
