/** Entries of zip files, unpacked in memory. */
import { buffer } from 'node:stream/consumers';
import { crc32 } from 'node:zlib';
import { ThawError } from '@thaw/shared/protocol';
import { openPromise, type Entry, type ZipFile } from 'yauzl';

/** Rejects with a sentence. The size is checked before, and by the reader of the zip while it unpacks. */
export async function bytesOfEntry(zip: ZipFile, entry: Entry, maxBytes: number): Promise<Buffer> {
  const { compressionMethod, uncompressedSize } = entry;
  if (entry.isEncrypted()) throw new Error('The entry is encrypted.');
  if (!entry.canDecodeFileData())
    throw new Error(
      `The entry is compressed by method ${compressionMethod}; stored (0) and deflated (8) ones are read.`,
    );
  if (uncompressedSize > maxBytes)
    throw new Error(`The file has ${uncompressedSize} bytes; at most ${maxBytes} are read.`);
  const bytes = await buffer(await zip.openReadStreamPromise(entry));
  if (crc32(bytes) !== entry.crc32) throw new Error('The entry is torn: its checksum is another.');
  return bytes;
}

/** What is wrong with a zip as a whole. */
export const notAZip = (path: string, cause: unknown): ThawError =>
  new ThawError('THAW_DATA_INVALID', `${path} cannot be read as a zip: ${(cause as Error).message}`, {
    cure: 'Check that the file is whole (`unzip -t`); encrypted and split archives are not read.',
    cause,
  });

/**
 * The files with these names, as far as the zip has them.
 * @throws ThawError THAW_DATA_INVALID for a zip that cannot be read, and for one of the files that cannot
 */
export async function readZipFiles(
  path: string,
  names: readonly string[],
  maxBytes: number,
): Promise<Map<string, Uint8Array>> {
  const found = new Map<string, Uint8Array>();
  try {
    const zip = await openPromise(path, { autoClose: false });
    try {
      for await (const entry of zip.eachEntry())
        if (names.includes(entry.fileName)) found.set(entry.fileName, await bytesOfEntry(zip, entry, maxBytes));
    } finally {
      zip.close();
    }
  } catch (cause) {
    throw notAZip(path, cause);
  }
  return found;
}
