/** A folder of image files, at any depth. */
import { createHash } from 'node:crypto';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ThawError } from '@thaw/shared/protocol';
import { byCodeUnits, listSource, type ImageList } from '../image-list.js';
import type { ImageSource } from '../image-source.js';
import { decodeImage, defaultLimits, namesImage, type ImageLimits } from './decode-image.js';

interface ImageFile {
  /** Path below the folder, with forward slashes. */
  readonly name: string;
  readonly size: number;
  readonly modifiedMs: number;
}

/**
 * Lists a folder and everything below it; order is that of the names' code units. Files that are no images and hidden ones are passed over;
 * images that cannot be decoded come as bad items. See {@link decodeImage}.
 * @throws ThawError THAW_DATA_INVALID for a folder that cannot be read or holds no image.
 */
export async function listImageFolder(folder: string, limits: ImageLimits = {}): Promise<ImageList> {
  const { maxFileBytes, maxPixels } = { ...defaultLimits, ...limits };
  const files = await imageFilesOf(folder);
  if (files.length === 0) throw new ThawError('THAW_DATA_INVALID', `${folder} holds no image files.`);
  const digest = createHash('sha256');
  for (const { name, size, modifiedMs } of files) digest.update(JSON.stringify([name, size, modifiedMs]));
  return {
    identity: `folder:${digest.digest('hex')}`,
    names: files.map(({ name }) => name),
    open: async () => ({
      read: async (index) => {
        const { name, size } = files[index]!;
        return size > maxFileBytes
          ? { kind: 'bad', name, reason: `The file has ${size} bytes; at most ${maxFileBytes} are read.` }
          : decodeImage(name, join(folder, name), maxPixels);
      },
      close: async () => undefined,
    }),
  };
}

/** All images of a folder as one source. @throws as {@link listImageFolder} */
export async function openImageFolder(folder: string, limits: ImageLimits = {}): Promise<ImageSource> {
  return listSource(await listImageFolder(folder, limits), limits.parallel ?? defaultLimits.parallel);
}

async function imageFilesOf(folder: string): Promise<ImageFile[]> {
  const found: ImageFile[] = [];
  const walk = async (below: string): Promise<void> => {
    for (const entry of await readdir(join(folder, below), { withFileTypes: true })) {
      if (entry.name.startsWith('.')) continue;
      const name = below === '' ? entry.name : `${below}/${entry.name}`;
      if (entry.isDirectory()) await walk(name);
      else if (entry.isFile() && namesImage(name)) {
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
  return found.sort((a, b) => byCodeUnits(a.name, b.name));
}
