/** A zip of image files, such as `img_align_celeba.zip`, read in place: nothing is unpacked to disk. */
import { createHash } from 'node:crypto';
import { ThawError } from '@thaw/shared/protocol';
import { openPromise, type Entry, type ZipFile } from 'yauzl';
import { byCodeUnits, type ImageList } from '../image-list.js';
import type { BadImage, SourceImage } from '../image-source.js';
import { partitionFileName } from '../partition.js';
import { decodeImage, defaultLimits, namesImage, type ImageLimits } from './decode-image.js';
import { bytesOfEntry, notAZip } from './zip-entry.js';

export interface ZipImages extends ImageList {
  /** Name and text of CelebA's list of splits, if it is in the zip. */
  readonly partition?: { readonly name: string; readonly text: string };
}

/**
 * Lists the images of a zip, folders within it included; order is that of the names' code units, so a zip is packed as the folder that
 * it unpacks to. Other files and hidden ones are passed over. What is wrong with one image is that image's: encrypted, compressed by
 * another method than deflate, larger than the limit, torn (its CRC-32 is checked).
 * @throws ThawError THAW_DATA_INVALID for a file that cannot be read, is no zip or only the beginning of one, names an entry outside itself, or
 *   holds no image.
 */
export async function listImageZip(path: string, limits: ImageLimits = {}): Promise<ZipImages> {
  const { maxFileBytes, maxPixels } = { ...defaultLimits, ...limits };
  const entries: Entry[] = [];
  let partition: ZipImages['partition'];
  try {
    const zip = await openPromise(path, { autoClose: false });
    try {
      for await (const entry of zip.eachEntry()) {
        const name = entry.fileName;
        if (namesImage(name)) entries.push(entry);
        else if (name.slice(name.lastIndexOf('/') + 1) === partitionFileName)
          partition = {
            name: `${path}/${name}`,
            text: (await bytesOfEntry(zip, entry, maxFileBytes)).toString('utf8'),
          };
      }
    } finally {
      zip.close();
    }
  } catch (cause) {
    throw notAZip(path, cause);
  }
  if (entries.length === 0) throw new ThawError('THAW_DATA_INVALID', `${path} holds no image files.`);
  entries.sort((a, b) => byCodeUnits(a.fileName, b.fileName));
  const digest = createHash('sha256');
  for (const entry of entries) digest.update(JSON.stringify([entry.fileName, entry.uncompressedSize, entry.crc32]));
  return {
    identity: `zip:${digest.digest('hex')}`,
    names: entries.map(({ fileName }) => fileName),
    ...(partition === undefined ? {} : { partition }),
    open: async () => {
      const zip = await openPromise(path, { autoClose: false });
      return {
        read: (index) => readImage(zip, entries[index]!, maxFileBytes, maxPixels),
        close: async () => zip.close(),
      };
    },
  };
}

async function readImage(
  zip: ZipFile,
  entry: Entry,
  maxFileBytes: number,
  maxPixels: number,
): Promise<SourceImage | BadImage> {
  let bytes: Uint8Array;
  try {
    bytes = await bytesOfEntry(zip, entry, maxFileBytes);
  } catch (error) {
    return { kind: 'bad', name: entry.fileName, reason: (error as Error).message };
  }
  return decodeImage(entry.fileName, bytes, maxPixels);
}
