/** How many images are restored and handed on at once. Pure. */
import type { ImageShape } from '../ports.js';

/** Images of one estimate: original, degraded, direct, sampled, first update, last estimate. */
const imagesOfEstimate = 6;
const mostBytes = 16 << 20;
const mostImages = 32;

/**
 * Images in a block: whole network calls, at most 32, and at most 16 MiB of estimates where that is more than one call. The same wherever a
 * block is computed, so that a network of features is called with the same batches.
 */
export function estimateBlock({ height, width, channels }: ImageShape, batch: number): number {
  const bytes = imagesOfEstimate * 4 * height * width * channels;
  const fitting = Math.min(mostImages, Math.floor(mostBytes / bytes));
  return batch * Math.max(1, Math.floor(fitting / batch));
}
