/** Digests of the training protocol. They detect divergence and mistakes, not malice. */
import { createHash } from 'node:crypto';

/** Hexadecimal SHA-256 of the concatenation of `parts`. */
export function sha256Hex(...parts: readonly (Uint8Array | string)[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('hex');
}

/** First 8 bytes of the SHA-256 of a run's name, in hexadecimal: tells frames of different runs apart. */
export const runHash = (run: string): string => sha256Hex('thaw.run/', run).slice(0, 16);

/** h_0 of a run: what the history digest is before the first step. */
export const initialHistoryDigest = (run: string): string => sha256Hex('thaw.history/1/', run);
