/** A copy of the run state at one boundary, made slice by slice while nothing changes it. Shared memory: a thread may read it in place. */
import type { StateHead } from '@thaw/shared/protocol';
import type { TrainingArrays } from './events.js';

const floats = ['weights', 'ema', 'firstMoment', 'secondMoment'] as const;

export class StateCopy {
  readonly head: StateHead;
  readonly arrays: TrainingArrays;
  private readonly from: TrainingArrays;
  private copied = 0;

  constructor(head: StateHead, from: TrainingArrays) {
    const { length } = from.weights;
    const array = (): Float32Array => new Float32Array(new SharedArrayBuffer(4 * length));
    this.head = head;
    this.from = from;
    this.arrays = {
      weights: array(),
      ema: array(),
      firstMoment: array(),
      secondMoment: array(),
      exponents: new Int8Array(new SharedArrayBuffer(from.exponents.length)),
    };
    this.arrays.exponents.set(from.exponents);
  }

  /** Copies at most so many values; says whether everything is there. */
  advance(maxValues: number): boolean {
    this.copied = copyValues(this.from, this.arrays, this.copied, maxValues);
    return this.copied === floats.length * this.from.weights.length;
  }
}

/**
 * Copies values of the four float arrays, one array after the other, from value number `start` on.
 * @returns number of the first value not copied
 */
export function copyValues(from: TrainingArrays, to: TrainingArrays, start: number, maxValues: number): number {
  const { length } = from.weights;
  const end = Math.min(start + maxValues, floats.length * length);
  while (start < end) {
    const name = floats[Math.floor(start / length)]!;
    const at = start % length;
    const count = Math.min(length - at, end - start);
    to[name].set(from[name].subarray(at, at + count), at);
    start += count;
  }
  return end;
}
