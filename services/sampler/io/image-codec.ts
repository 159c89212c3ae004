/** Image files by sharp (libvips). Strangers' files are looked at before they are decoded. */
import sharp, { type Sharp } from 'sharp';
import { ThawError } from '@thaw/shared/protocol';
import type { ImageCodec, ImageShape, Pixels } from '../ports.js';

const decodeSeconds = 10;

const startsWith = (bytes: Uint8Array, ...signature: number[]): boolean =>
  signature.every((value, i) => bytes[i] === value);
/** Only these two ever reach a decoder. */
const isPng = (bytes: Uint8Array): boolean => startsWith(bytes, 0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);
const isJpeg = (bytes: Uint8Array): boolean => startsWith(bytes, 0xff, 0xd8, 0xff);

/** @param maxPixels width times height of the largest image that is decoded */
export function createImageCodec({ maxPixels }: { maxPixels: number }): ImageCodec {
  return {
    async decode(file, shape) {
      if (!isPng(file) && !isJpeg(file))
        throw new ThawError(
          'THAW_IMAGE_INVALID',
          `The ${file.byteLength} bytes given are neither a PNG nor a JPEG file.`,
        );
      const options = { limitInputPixels: maxPixels, failOn: 'error', pages: 1, sequentialRead: true } as const;
      await checkSize(file, maxPixels);
      try {
        return await decodeTo(sharp(file, options), shape);
      } catch (cause) {
        throw new ThawError('THAW_IMAGE_INVALID', `The image could not be decoded: ${firstLine(cause)}.`, { cause });
      }
    },
    async encodePng(image, scale = 1) {
      const raw = { width: image.width, height: image.height, channels: image.channels as 1 | 3 };
      let picture = sharp(image.bytes, { raw }).toColourspace(image.channels === 1 ? 'b-w' : 'srgb');
      if (scale !== 1)
        picture = picture.resize({ width: image.width * scale, height: image.height * scale, kernel: 'nearest' });
      return new Uint8Array(await picture.png({ compressionLevel: 6, adaptiveFiltering: false }).toBuffer());
    },
  };
}

/** Reads the header only. */
async function checkSize(file: Uint8Array, maxPixels: number): Promise<void> {
  let width: number;
  let height: number;
  try {
    // No limit here: the size of a bomb is what is to be found out, and nothing is decoded.
    ({ width, height } = await sharp(file, { limitInputPixels: false, pages: 1 }).metadata());
  } catch (cause) {
    throw new ThawError('THAW_IMAGE_INVALID', `The header of the image could not be read: ${firstLine(cause)}.`, {
      cause,
    });
  }
  if (width * height > maxPixels)
    throw new ThawError(
      'THAW_IMAGE_TOO_LARGE',
      `The image has ${width} x ${height} pixels; at most ${maxPixels} pixels are accepted.`,
    );
}

async function decodeTo(image: Sharp, { height, width, channels }: ImageShape): Promise<Pixels> {
  const { data, info } = await image
    .timeout({ seconds: decodeSeconds })
    .autoOrient()
    .flatten({ background: '#000' })
    .resize({ width, height, fit: 'cover', position: 'centre' })
    .toColourspace(channels === 1 ? 'b-w' : 'srgb')
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true });
  if (info.channels !== channels) throw new Error(`${info.channels} channels instead of ${channels}`);
  return { height, width, channels, bytes: Uint8Array.from(data) };
}

const firstLine = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).split('\n')[0]!.slice(0, 200);
