import { describe, expect, it } from 'vitest';
import { philox4x32 } from './philox.js';

describe('philox4x32', () => {
  // Known answers "philox4x32 10" of Random123 (file kat_vectors).
  it.each([
    [
      [0, 0, 0, 0],
      [0, 0],
      [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
    ],
    [
      [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
      [0xffffffff, 0xffffffff],
      [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
    ],
    [
      [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      [0xa4093822, 0x299f31d0],
      [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
    ],
  ] as const)('counter %j key %j', (counter, key, want) => {
    expect(philox4x32(counter, key)).toEqual(want);
  });

  it('multiplies without losing bits', () => {
    // The same rounds with BigInt, on counters that exercise every carry.
    const reference = (counter: readonly number[], key: readonly number[]): number[] => {
      const mask = 0xffffffffn;
      let [c0, c1, c2, c3] = counter.map((word) => BigInt(word >>> 0)) as [bigint, bigint, bigint, bigint];
      let [k0, k1] = key.map((word) => BigInt(word >>> 0)) as [bigint, bigint];
      for (let round = 0; round < 10; round++) {
        const p0 = 0xd2511f53n * c0;
        const p1 = 0xcd9e8d57n * c2;
        [c0, c1, c2, c3] = [(p1 >> 32n) ^ c1 ^ k0, p1 & mask, (p0 >> 32n) ^ c3 ^ k1, p0 & mask];
        [k0, k1] = [(k0 + 0x9e3779b9n) & mask, (k1 + 0xbb67ae85n) & mask];
      }
      return [c0, c1, c2, c3].map(Number);
    };
    for (let i = 0; i < 500; i++) {
      const counter = [Math.imul(i, 0x9e3779b1) >>> 0, 0xffff0000 + i, 0xffff + i, i] as const;
      const key = [0xfffffff0 + (i % 16), Math.imul(i, 0x85ebca6b) >>> 0] as const;
      expect(philox4x32(counter, key)).toEqual(reference(counter, key));
    }
  });
});
