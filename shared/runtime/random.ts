/** Every random draw of a run: keyed by what it is for, never by how many draws came before. */
import { philox4x32Into } from './philox.js';
import { naturalLog } from './natural-log.js';

/**
 * What a draw is for. The number is part of the key and therefore of every stored run: never change or reuse one, only add.
 */
export const drawPurposes = {
  /** Initial weights; lane = index of the tensor. */
  init: 1,
  /** Order of the shards in an epoch; step = epoch. */
  'shard-order': 2,
  /** Order of the samples in a shard; step = epoch, lane = shard. */
  'sample-order': 3,
  /** Crop and flip; step, lane, row of the sample. */
  augment: 4,
  /** Severity of a training sample; step, lane, row. */
  severity: 5,
  /** What a degradation draws once per image (mask centre, snow, partner, colour); step, lane, row. */
  degradation: 6,
  /** Start and noise of a sampling job; row = image of the job. */
  sampling: 7,
  /** Choice of evaluation images and resampling. */
  evaluation: 8,
  /** The fixed input of the fingerprint probe. */
  probe: 9,
  /** Which values of a network's blocks are dropped in training; step, lane, row. */
  dropout: 10,
  /** Noise that a training routine adds to the clean image or its mean; step, lane, row. */
  target: 11,
  /** Order of the partner set's shards in an epoch of it; step = epoch. */
  'partner-shard-order': 12,
  /** Order of the samples in a shard of the partner set; step = epoch, lane = shard. */
  'partner-sample-order': 13,
  /** Crop and flip of a partner picture; step, lane, row of the sample. */
  'partner-augment': 14,
  /** Order of the images that a classifier of features is trained on; step = epoch. */
  features: 15,
  /** What a degradation deals out among several images; step, lane, row of the first of them. */
  'degradation-among': 16,
} as const;
export type DrawPurpose = keyof typeof drawPurposes;

/**
 * A stream of draws: Philox4x32-10 with
 *
 *     key     = [seed, purpose]
 *     counter = [block, row, lane, step]      block = 0, 1, 2, .. ; four 32-bit draws each, word 0 first
 *
 * All parts are taken modulo 2^32. Two streams that differ in any part are independent; the same parts give the same
 * draws on every machine. Only `+ - * / Math.sqrt Math.imul` are used, which IEEE 754 and ECMAScript define to the bit.
 */
export class RandomStream {
  readonly #words = new Uint32Array(4);
  #used = 4;
  #block = 0;
  #spare: number | undefined;
  readonly #seed: number;
  readonly #purpose: number;
  readonly #step: number;
  readonly #lane: number;
  readonly #row: number;

  constructor(seed: number, purpose: DrawPurpose, step = 0, lane = 0, row = 0) {
    this.#seed = seed >>> 0;
    this.#purpose = drawPurposes[purpose];
    this.#step = step >>> 0;
    this.#lane = lane >>> 0;
    this.#row = row >>> 0;
  }

  /** Uniform on the integers 0 .. 2^32 - 1. */
  uint32(): number {
    if (this.#used === 4) {
      philox4x32Into(this.#words, this.#block++, this.#row, this.#lane, this.#step, this.#seed, this.#purpose);
      this.#used = 0;
    }
    return this.#words[this.#used++]!;
  }

  /** Uniform on [0, 1) with 24 bits: exact in float32. */
  uniform(): number {
    return (this.uint32() >>> 8) * 2 ** -24;
  }

  /** Uniform on the integers 0 .. n - 1 without bias; 1 <= n <= 2^32. May use more than one draw. */
  below(n: number): number {
    if (!Number.isInteger(n) || n < 1 || n > 2 ** 32)
      throw new RangeError(`below(${n}): want an integer from 1 to 2^32.`);
    const limit = 2 ** 32 - (2 ** 32 % n);
    let draw = this.uint32();
    while (draw >= limit) draw = this.uint32();
    return draw % n;
  }

  /** Standard normal (polar method of G. Marsaglia and T. Bray, 1964). Uses a varying number of draws. */
  normal(): number {
    if (this.#spare !== undefined) {
      const spare = this.#spare;
      this.#spare = undefined;
      return spare;
    }
    for (;;) {
      const u = (this.uint32() + 0.5) * 2 ** -31 - 1;
      const v = (this.uint32() + 0.5) * 2 ** -31 - 1;
      const square = u * u + v * v;
      if (square >= 1 || square === 0) continue;
      const scale = Math.sqrt((-2 * naturalLog(square)) / square);
      this.#spare = v * scale;
      return u * scale;
    }
  }
}

/** The integers 0 .. n - 1 in random order (R. Durstenfeld's shuffle, 1964), drawn from `stream`. */
export function permutation(n: number, stream: RandomStream): Uint32Array {
  const order = new Uint32Array(n);
  for (let i = 0; i < n; i++) order[i] = i;
  for (let i = n - 1; i > 0; i--) {
    const j = stream.below(i + 1);
    const kept = order[i]!;
    order[i] = order[j]!;
    order[j] = kept;
  }
  return order;
}
