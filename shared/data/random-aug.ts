/**
 * The official option `random_aug` (torchvision's RandomResizedCrop, RandomHorizontalFlip, and ColorJitter(0.8, 0.8, 0.8, 0.2) with
 * probability 0.8) on 8-bit images; the draws are ours, the pixel operations those of Pillow.
 */
import type { RandomStream } from '@thaw/shared/runtime';
import { adjustBrightness, adjustContrast, adjustHue, adjustSaturation } from './colour-jitter.js';
import { pillowResize } from './pillow-resize.js';
import { crop } from './preparation.js';
import type { ImagePixels } from './preparation.js';

/** Shares of the image's area, and of width to height. */
const leastArea = 0.08;
const logAspect = 0.28768207245178093; // ln(4/3)
const attempts = 10;
const jitterProbability = 0.8;

/** e^u for |u| <= ln(4/3), by its series: the same bits everywhere. */
function exponential(u: number): number {
  let sum = 1;
  for (let k = 14; k >= 1; k--) sum = 1 + (u / k) * sum;
  return sum;
}

export interface Piece {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

const halfUp = (x: number): number => Math.floor(x + 0.5);

/** A piece of 8 to 100 % of the area and a shape between 3:4 and 4:3; the middle when ten draws do not fit. */
export function drawPiece(stream: RandomStream, width: number, height: number): Piece {
  for (let attempt = 0; attempt < attempts; attempt++) {
    const area = width * height * (leastArea + (1 - leastArea) * stream.uniform());
    const aspect = exponential(logAspect * (2 * stream.uniform() - 1));
    const [w, h] = [halfUp(Math.sqrt(area * aspect)), halfUp(Math.sqrt(area / aspect))];
    if (w < 1 || h < 1 || w > width || h > height) continue;
    const top = stream.below(height - h + 1);
    return { left: stream.below(width - w + 1), top, width: w, height: h };
  }
  const w = Math.min(width, halfUp((height * 4) / 3));
  const h = Math.min(height, halfUp((width * 4) / 3));
  return { left: Math.floor((width - w) / 2), top: Math.floor((height - h) / 2), width: w, height: h };
}

function mirrored(image: ImagePixels): ImagePixels {
  const { width, height, channels } = image;
  const pixels = new Uint8Array(image.pixels.length);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++)
      for (let c = 0; c < channels; c++)
        pixels[(y * width + x) * channels + c] = image.pixels[(y * width + (width - 1 - x)) * channels + c]!;
  return { ...image, pixels };
}

/** The four changes of colour in a random order, each by a random amount. */
function jittered(image: ImagePixels, stream: RandomStream): ImagePixels {
  const around = (spread: number): number => spread * (2 * stream.uniform() - 1);
  const changes = [
    { change: adjustBrightness, by: 1 + around(0.8) },
    { change: adjustContrast, by: 1 + around(0.8) },
    { change: adjustSaturation, by: 1 + around(0.8) },
    { change: adjustHue, by: around(0.2) },
  ];
  let result = image;
  while (changes.length > 0) {
    const [{ change, by }] = changes.splice(stream.below(changes.length), 1) as [(typeof changes)[number]];
    result = change(result, by);
  }
  return result;
}

/** One image of `size` x `size`. A new image; the one given is not changed. */
export function randomAug(image: ImagePixels, size: number, stream: RandomStream): ImagePixels {
  const { left, top, width, height } = drawPiece(stream, image.width, image.height);
  const resized = pillowResize(crop(image, left, top, width, height), size, size);
  const turned = stream.uniform() < 0.5 ? mirrored(resized) : resized;
  return stream.uniform() < jitterProbability ? jittered(turned, stream) : turned;
}
