/** Image files by sharp (libvips). Strangers' files are looked at before they are decoded. */
import sharp, { type Metadata, type Sharp } from 'sharp';
import { withChannels, type ImagePixels } from '@thaw/shared/data';
import { ThawError } from '@thaw/shared/protocol';
import type { ImageCodec, ImageShape } from '../ports.js';

const decodeSeconds = 10;

const startsWith = (bytes: Uint8Array, ...signature: number[]): boolean =>
  signature.every((value, i) => bytes[i] === value);
/** Only these two ever reach a decoder. */
const isPng = (bytes: Uint8Array): boolean => startsWith(bytes, 0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);
const isJpeg = (bytes: Uint8Array): boolean => startsWith(bytes, 0xff, 0xd8, 0xff);

/** @param maxPixels width times height of the largest image that is decoded */
export function createImageCodec({ maxPixels }: { maxPixels: number }): ImageCodec {
  return {
    async decode(file, shape, convert) {
      if (!isPng(file) && !isJpeg(file))
        throw new ThawError(
          'THAW_IMAGE_INVALID',
          `The ${file.byteLength} bytes given are neither a PNG nor a JPEG file.`,
        );
      const options = { limitInputPixels: maxPixels, failOn: 'error', pages: 1, sequentialRead: true } as const;
      const { space } = await checkedHeader(file, maxPixels);
      const grey = space === 'b-w' || space === 'grey16';
      if (grey && shape.channels === 3 && !convert)
        throw otherColours('greyscale', 'colour (RGB)', 'Send an RGB image', 'the grey values are repeated');
      let image: ImagePixels;
      try {
        image = await decodeTo(sharp(file, options), grey, shape);
      } catch (cause) {
        throw new ThawError('THAW_IMAGE_INVALID', `The image could not be decoded: ${firstLine(cause)}.`, { cause });
      }
      if (shape.channels === 1 && !convert && !hasGreysOnly(image))
        throw otherColours('in colour', 'greyscale', 'Send a greyscale image', 'colours become their luma');
      const channels = shape.channels as 1 | 3;
      return { ...shape, bytes: withChannels(image, channels).pixels };
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
async function checkedHeader(file: Uint8Array, maxPixels: number): Promise<Metadata> {
  let metadata: Metadata;
  try {
    // No limit here: the size of a bomb is what is to be found out, and nothing is decoded.
    metadata = await sharp(file, { limitInputPixels: false, pages: 1 }).metadata();
  } catch (cause) {
    throw new ThawError('THAW_IMAGE_INVALID', `The header of the image could not be read: ${firstLine(cause)}.`, {
      cause,
    });
  }
  const { width, height } = metadata;
  if (width * height > maxPixels)
    throw new ThawError(
      'THAW_IMAGE_TOO_LARGE',
      `The image has ${width} x ${height} pixels; at most ${maxPixels} pixels are accepted.`,
    );
  return metadata;
}

/** Grey files, and colour files without a colour, as canvases and many tools write them. */
function hasGreysOnly({ channels, pixels }: ImagePixels): boolean {
  if (channels === 1) return true;
  for (let i = 0; i < pixels.length; i += 3)
    if (pixels[i] !== pixels[i + 1] || pixels[i] !== pixels[i + 2]) return false;
  return true;
}

const otherColours = (is: string, takes: string, instead: string, how: string): ThawError =>
  new ThawError('THAW_IMAGE_INVALID', `image: the file is ${is}; the model takes ${takes} images only.`, {
    cure: `${instead}, or say convert (\`--convert\`): ${how}.`,
  });

async function decodeTo(image: Sharp, grey: boolean, { height, width }: ImageShape): Promise<ImagePixels> {
  const { data, info } = await image
    .timeout({ seconds: decodeSeconds })
    .autoOrient()
    .flatten({ background: '#000' })
    .resize({ width, height, fit: 'cover', position: 'centre' })
    .toColourspace(grey ? 'b-w' : 'srgb')
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true });
  const channels = grey ? 1 : 3;
  if (info.channels !== channels) throw new Error(`${info.channels} channels instead of ${channels}`);
  return { height, width, channels, pixels: Uint8Array.from(data) };
}

const firstLine = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).split('\n')[0]!.slice(0, 200);
