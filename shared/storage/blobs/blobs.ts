/** Blobs: bytes whose key is their SHA-256. Written once, verified on every read. */
import { createHash } from 'node:crypto';
import { ThawError } from '../../protocol/index.js';
import type { ObjectStore } from '../store/index.js';

export const blobPrefix = 'blobs/sha256/';

export function sha256Hex(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

export function blobKey(sha256: string): string {
  if (!/^[0-9a-f]{64}$/.test(sha256))
    throw new ThawError('THAW_BLOB_NOT_FOUND', `${JSON.stringify(sha256.slice(0, 80))} is not a SHA-256 in hex.`);
  return `${blobPrefix}${sha256}`;
}

/**
 * Stores bytes under their hash and returns it. A blob that is there already is written again: its bytes do not change,
 * but its age does, so that a garbage collection that is under way leaves it alone (see `collectGarbage`).
 * @param sha256 of the bytes, where the caller has it already
 */
export async function putBlob(store: ObjectStore, bytes: Uint8Array, sha256 = sha256Hex(bytes)): Promise<string> {
  const key = blobKey(sha256);
  const { created } = await store.putIfAbsent(key, bytes);
  if (!created) await store.put(key, bytes);
  return sha256;
}

/**
 * Reads a blob and verifies it.
 * @throws ThawError THAW_BLOB_NOT_FOUND, or THAW_BLOB_CORRUPT if the stored bytes do not have this hash.
 */
export async function getBlob(store: ObjectStore, sha256: string): Promise<Uint8Array> {
  const key = blobKey(sha256);
  const found = await store.get(key);
  if (found === undefined) throw new ThawError('THAW_BLOB_NOT_FOUND', `There is no blob ${sha256} in the store.`);
  const actual = sha256Hex(found.bytes);
  if (actual !== sha256)
    throw new ThawError(
      'THAW_BLOB_CORRUPT',
      `The ${found.bytes.byteLength} bytes of blob ${sha256} have the SHA-256 ${actual}.`,
    );
  return found.bytes;
}
