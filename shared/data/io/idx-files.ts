/** IDX files on disk, plain or gzip. */
import { open, readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { ThawError } from '@thaw/shared/protocol';
import type { ImageSource } from '../image-source.js';
import { idxSource } from '../idx-source.js';
import type { IdxFile } from '../idx-source.js';

const unzip = promisify(gunzip);
/** Larger files, and gzip files that unpack to more, are refused. */
const maxBytes = 2 ** 31 - 1;

/**
 * Opens a file of images and, if given, one of labels.
 * @throws ThawError THAW_DATA_INVALID for a file that is missing, too large or not IDX.
 */
export async function openIdx(imagesPath: string, labelsPath?: string): Promise<ImageSource> {
  return idxSource(await readIdx(imagesPath), labelsPath === undefined ? undefined : await readIdx(labelsPath));
}

/** Reads and, if it is gzip, unpacks a file. */
export async function readIdx(path: string): Promise<IdxFile> {
  const name = basename(path);
  let bytes: Uint8Array;
  try {
    const file = await open(path, 'r');
    const { size } = await file.stat().finally(() => file.close());
    if (size > maxBytes)
      throw new ThawError('THAW_DATA_INVALID', `${path} has ${size} bytes; at most ${maxBytes} are read.`);
    bytes = await readFile(path);
  } catch (cause) {
    if (cause instanceof ThawError) throw cause;
    throw new ThawError('THAW_DATA_INVALID', `${path} cannot be read: ${(cause as Error).message}`, { cause });
  }
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return { name, bytes };
  try {
    return { name, bytes: await unzip(bytes, { maxOutputLength: maxBytes }) };
  } catch (cause) {
    throw new ThawError('THAW_DATA_INVALID', `${path} is not a whole gzip file: ${(cause as Error).message}`, {
      cause,
    });
  }
}
