/** From a source image to the stored one: channels, then size. Pure. */
import { ThawError } from '@thaw/shared/protocol';
import type { Preprocessing } from './manifest.js';
import { pillowResize } from './pillow-resize.js';

/** An 8-bit image: height * width * channels values, row by row, channels last. */
export interface ImagePixels {
  readonly width: number;
  readonly height: number;
  readonly channels: 1 | 3;
  readonly pixels: Uint8Array;
}

/** Edge to which the official loaders resize before they cut `size`: 35 for 32, 71 for 64, 143 for 128. */
export const officialResizeEdge = (size: number): number => Math.floor((size * 112) / 100);

/**
 * Applies a manifest's preprocessing to one image.
 * @throws ThawError THAW_DATA_INVALID for an image that does not fit the method.
 */
export function prepareImage(image: ImagePixels, preprocessing: Preprocessing): ImagePixels {
  const converted = preprocessing.channels === undefined ? image : withChannels(image, preprocessing.channels);
  const { method } = preprocessing;
  if (method === 'none') return converted;
  const { size } = preprocessing;
  if (size === undefined) throw new ThawError('THAW_DATA_INVALID', `The preprocessing "${method}" needs a size.`);
  if (method === 'pad') return padCentred(converted, size);
  if (method === 'pillow-bilinear') return pillowResize(converted, size, size);
  return cropCentre(resizeShorterSide(converted, size), size, size);
}

/** Grey is repeated; colour becomes luma as Pillow's `convert("L")` computes it. */
export function withChannels(image: ImagePixels, channels: 1 | 3): ImagePixels {
  if (image.channels === channels) return image;
  const count = image.width * image.height;
  const pixels = new Uint8Array(count * channels);
  if (channels === 3) for (let i = 0; i < count; i++) pixels.fill(image.pixels[i]!, 3 * i, 3 * i + 3);
  else
    for (let i = 0; i < count; i++) {
      const [r, g, b] = [image.pixels[3 * i]!, image.pixels[3 * i + 1]!, image.pixels[3 * i + 2]!];
      pixels[i] = (r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16;
    }
  return { ...image, channels, pixels };
}

/** Zeros around the image; with an odd number of them the extra row and column stand below and to the right. */
export function padCentred(image: ImagePixels, size: number): ImagePixels {
  const { width, height, channels } = image;
  if (width > size || height > size)
    throw new ThawError('THAW_DATA_INVALID', `An image of ${width} x ${height} cannot be padded to ${size} x ${size}.`);
  const left = Math.floor((size - width) / 2);
  const top = Math.floor((size - height) / 2);
  const pixels = new Uint8Array(size * size * channels);
  for (let y = 0; y < height; y++)
    pixels.set(
      image.pixels.subarray(y * width * channels, (y + 1) * width * channels),
      ((y + top) * size + left) * channels,
    );
  return { width: size, height: size, channels, pixels };
}

/** The shorter side becomes `size`, the longer keeps the aspect, rounded down. */
export function resizeShorterSide(image: ImagePixels, size: number): ImagePixels {
  const { width, height } = image;
  const longer = (edge: number, shorter: number): number => Math.floor((size * edge) / shorter);
  return width <= height
    ? pillowResize(image, size, longer(height, width))
    : pillowResize(image, longer(width, height), size);
}

/** Cuts width x height at the offset of the official loaders: half the surplus, ties to even. */
export function cropCentre(image: ImagePixels, width: number, height: number): ImagePixels {
  return crop(image, halfToEven(image.width - width), halfToEven(image.height - height), width, height);
}

/** Cuts out a rectangle. @throws ThawError THAW_DATA_INVALID when it reaches beyond the image. */
export function crop(image: ImagePixels, left: number, top: number, width: number, height: number): ImagePixels {
  const { channels } = image;
  if (left < 0 || top < 0 || left + width > image.width || top + height > image.height)
    throw new ThawError(
      'THAW_DATA_INVALID',
      `A crop of ${width} x ${height} at (${left}, ${top}) reaches beyond ${image.width} x ${image.height}.`,
    );
  const pixels = new Uint8Array(width * height * channels);
  for (let y = 0; y < height; y++) {
    const from = ((y + top) * image.width + left) * channels;
    pixels.set(image.pixels.subarray(from, from + width * channels), y * width * channels);
  }
  return { width, height, channels, pixels };
}

/** n / 2 rounded to the nearest integer, halves to the even one. */
export function halfToEven(n: number): number {
  const floor = Math.floor(n / 2);
  return n % 2 === 0 || floor % 2 === 0 ? floor : floor + 1;
}
