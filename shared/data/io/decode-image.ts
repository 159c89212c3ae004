/** Image files to pixels, by sharp. */
import type { BadImage, SourceImage } from '../image-source.js';

export interface ImageLimits {
  /** Larger files are not opened. Default 64 MiB. */
  readonly maxFileBytes?: number;
  /** Images with more pixels are not decoded. Default 50 million. */
  readonly maxPixels?: number;
  /** Images decoded at the same time. Default 4. */
  readonly parallel?: number;
}
export const defaultLimits = { maxFileBytes: 64 * 1024 * 1024, maxPixels: 50_000_000, parallel: 4 } as const;

/** Names of files that hold an image; BMP files are seen, but cannot be decoded. */
const extensions = new Set(['png', 'jpg', 'jpeg', 'webp', 'gif', 'bmp', 'tif', 'tiff', 'avif']);
/** What the files may be, whatever their name says. */
const formats = new Set(['png', 'jpeg', 'webp', 'gif', 'tiff', 'heif']);

/** Has the extension of an image, and nothing on the way to it is hidden. */
export function namesImage(path: string): boolean {
  const parts = path.split('/');
  if (parts.some((part) => part.startsWith('.') || part === '__MACOSX')) return false;
  const name = parts.at(-1)!;
  return name.includes('.') && extensions.has(name.slice(name.lastIndexOf('.') + 1).toLowerCase());
}

/**
 * Decodes a file (its path) or its bytes. Animated images give their first frame; EXIF orientation is applied; transparency is laid on
 * black; images without colour come with one channel, all others with three. Never rejects.
 */
export async function decodeImage(
  name: string,
  input: string | Uint8Array,
  maxPixels: number,
): Promise<SourceImage | BadImage> {
  const bad = (reason: string): BadImage => ({ kind: 'bad', name, reason });
  if (name.toLowerCase().endsWith('.bmp')) return bad('Images of this format cannot be decoded.');
  try {
    const { default: sharp } = await import('sharp');
    const image = sharp(input, { limitInputPixels: maxPixels, failOn: 'error', sequentialRead: true });
    const { space, format } = await image.metadata();
    if (!formats.has(format)) return bad(`Images of the format ${format} are not read.`);
    const grey = space === 'b-w' || space === 'grey16';
    const { data, info } = await image
      .rotate()
      .flatten({ background: '#000000' })
      .toColourspace(grey ? 'b-w' : 'srgb')
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true });
    if (info.channels !== 1 && info.channels !== 3) return bad(`The image has ${info.channels} channels.`);
    const pixels = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    return { kind: 'image', name, width: info.width, height: info.height, channels: info.channels, pixels };
  } catch (error) {
    return bad(error instanceof Error ? error.message.trim().split('\n')[0]! : String(error));
  }
}
