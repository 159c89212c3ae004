/** A folder of image files, at any depth, decoded by sharp. */
import { createHash } from 'node:crypto';
import { readdir, stat } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { ThawError } from '@thaw/shared/protocol';
import type { BadImage, ImageSource, SourceImage } from '../image-source.js';

export interface ImageFolderOptions {
  /** Larger files are not opened. Default 64 MiB. */
  readonly maxFileBytes?: number;
  /** Images with more pixels are not decoded. Default 50 million. */
  readonly maxPixels?: number;
  /** Images decoded at the same time. Default 4. */
  readonly parallel?: number;
}

const extensions = new Set(['.png', '.jpg', '.jpeg', '.webp', '.gif', '.bmp', '.tif', '.tiff', '.avif']);
const decodedBySharp = new Set([...extensions].filter((extension) => extension !== '.bmp'));

interface ImageFile {
  /** Path below the folder, with forward slashes. */
  readonly name: string;
  readonly size: number;
  readonly modifiedMs: number;
}

/**
 * Lists a folder and everything below it; order is that of the names' code units. Files that are no images and hidden ones are passed over;
 * images that cannot be decoded come as bad items. Animated images give their first frame; EXIF orientation is applied;
 * transparency is laid on black; images without colour come with one channel, all others with three.
 * @throws ThawError THAW_DATA_INVALID for a folder that cannot be read or holds no image.
 */
export async function openImageFolder(folder: string, options: ImageFolderOptions = {}): Promise<ImageSource> {
  const { maxFileBytes = 64 * 1024 * 1024, maxPixels = 50_000_000, parallel = 4 } = options;
  const files = await listImages(folder);
  if (files.length === 0) throw new ThawError('THAW_DATA_INVALID', `${folder} holds no image files.`);
  const digest = createHash('sha256');
  for (const { name, size, modifiedMs } of files) digest.update(JSON.stringify([name, size, modifiedMs]));
  return {
    identity: `folder:${digest.digest('hex')}`,
    count: files.length,
    async *items(from) {
      const pending: Promise<SourceImage | BadImage>[] = [];
      let next = from;
      const fill = (): void => {
        while (pending.length < parallel && next < files.length)
          pending.push(readImage(folder, files[next++]!, maxFileBytes, maxPixels));
      };
      for (fill(); pending.length > 0; fill()) yield await pending.shift()!;
    },
  };
}

async function listImages(folder: string): Promise<ImageFile[]> {
  const found: ImageFile[] = [];
  const walk = async (below: string): Promise<void> => {
    for (const entry of await readdir(join(folder, below), { withFileTypes: true })) {
      if (entry.name.startsWith('.')) continue;
      const name = below === '' ? entry.name : `${below}/${entry.name}`;
      if (entry.isDirectory()) await walk(name);
      else if (entry.isFile() && extensions.has(extname(entry.name).toLowerCase())) {
        const { size, mtimeMs } = await stat(join(folder, name));
        found.push({ name, size, modifiedMs: mtimeMs });
      }
    }
  };
  try {
    await walk('');
  } catch (cause) {
    throw new ThawError('THAW_DATA_INVALID', `The folder ${folder} cannot be read: ${(cause as Error).message}`, {
      cause,
    });
  }
  return found.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

/** Never rejects: what goes wrong with one image is that image's. */
async function readImage(
  folder: string,
  file: ImageFile,
  maxFileBytes: number,
  maxPixels: number,
): Promise<SourceImage | BadImage> {
  const bad = (reason: string): BadImage => ({ kind: 'bad', name: file.name, reason });
  if (file.size > maxFileBytes) return bad(`The file has ${file.size} bytes; at most ${maxFileBytes} are read.`);
  if (!decodedBySharp.has(extname(file.name).toLowerCase())) return bad('Images of this format cannot be decoded.');
  try {
    const { default: sharp } = await import('sharp');
    const image = sharp(join(folder, file.name), {
      limitInputPixels: maxPixels,
      failOn: 'error',
      sequentialRead: true,
    });
    const { space } = await image.metadata();
    const grey = space === 'b-w' || space === 'grey16';
    const { data, info } = await image
      .rotate()
      .flatten({ background: '#000000' })
      .toColourspace(grey ? 'b-w' : 'srgb')
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true });
    if (info.channels !== 1 && info.channels !== 3) return bad(`The image has ${info.channels} channels.`);
    const pixels = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    return { kind: 'image', name: file.name, width: info.width, height: info.height, channels: info.channels, pixels };
  } catch (error) {
    return bad(error instanceof Error ? error.message.trim().split('\n')[0]! : String(error));
  }
}
