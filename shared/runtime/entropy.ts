/** Unpredictable bytes as a port. For ids and tokens only: nothing that decides weights or images may use them. */
import { randomBytes } from 'node:crypto';

export interface Entropy {
  bytes(n: number): Uint8Array;
}

/** The operating system's generator. */
export const systemEntropy: Entropy = { bytes: (n) => new Uint8Array(randomBytes(n)) };

/** `bytes` random bytes as lower-case hex: an incarnation, a job id, a token. */
export const randomHex = (entropy: Entropy, bytes: number): string => Buffer.from(entropy.bytes(bytes)).toString('hex');
