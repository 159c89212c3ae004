/** Every runner; the first that covers a case computes it. */
import { blur } from './blur.js';
import { loaders } from './loaders.js';
import { frechet, similarity } from './metrics.js';
import { blocks, ddpm, network } from './network.js';
import {
  colourMask,
  colourMaskSamplers,
  decolorization,
  decolorizationSamplers,
  mask,
  maskSamplers,
  mixing,
  mixingSamplers,
  schedule,
  superResolution,
  superResolutionSamplers,
} from './pixelwise.js';
import type { Runner } from './runner.js';
import { blurGeneration, blurSamplers } from './samplers.js';
import { snow, snowSamplers } from './snow.js';
import { training } from './training.js';

export const runners: readonly Runner[] = [
  blur,
  blurSamplers,
  blurGeneration,
  network,
  ddpm,
  blocks,
  similarity,
  frechet,
  superResolution,
  superResolutionSamplers,
  decolorization,
  decolorizationSamplers,
  mask,
  maskSamplers,
  colourMask,
  colourMaskSamplers,
  schedule,
  mixing,
  mixingSamplers,
  snow,
  snowSamplers,
  training,
  loaders,
];
