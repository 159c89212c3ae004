/** Every runner; the first that covers a case computes it. */
import { blur } from './blur.js';
import { frechet, similarity } from './metrics.js';
import { blocks, network } from './network.js';
import type { Runner } from './runner.js';
import { blurGeneration, blurSamplers } from './samplers.js';

export const runners: readonly Runner[] = [blur, network, blocks, similarity, frechet, blurSamplers, blurGeneration];
