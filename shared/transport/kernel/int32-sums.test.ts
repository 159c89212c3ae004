import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addInt32, Int32Sums } from './index.js';

const expected = (a: Int32Array, b: Int32Array): number[] =>
  [...a].map((x, i) => Number(BigInt.asIntN(32, BigInt(x) + BigInt(b[i]!))));

describe('integer sums', () => {
  it('agree with big integers modulo 2^32, in wasm and outside, for any length', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.integer(), fc.integer()), { maxLength: 100 }), (pairs) => {
        const a = Int32Array.from(pairs, ([x]) => x);
        const b = Int32Array.from(pairs, ([, y]) => y);
        const arena = new Int32Sums(4096);
        const sum = arena.allocate(a.length);
        arena.add(sum, a);
        arena.add(sum, b);
        expect([...sum]).toEqual(expected(a, b));
        addInt32(a, b);
        expect([...a]).toEqual([...sum]);
      }),
      { seed: 3, numRuns: 200 },
    );
  });

  it('adds more than its scratch block holds, and touches no neighbour', () => {
    const length = 3 * (1 << 18) + 5;
    const arena = new Int32Sums(16 << 20);
    const [before, sum, after] = [arena.allocate(7), arena.allocate(length), arena.allocate(7)];
    const values = Int32Array.from({ length }, (_, i) => Math.imul(i, 2654435761));
    arena.add(sum, values);
    arena.add(sum, values);
    expect(sum.every((x, i) => x === ((values[i]! * 2) | 0))).toBe(true);
    expect([...before, ...after]).toEqual(Array(14).fill(0));
    expect(sum.buffer).toBeInstanceOf(SharedArrayBuffer);
  });

  it('gives released memory out again, zeroed, and no more than its capacity', () => {
    const arena = new Int32Sums(128);
    const first = arena.allocate(16);
    arena.allocate(10);
    expect(() => arena.allocate(1)).toThrow('used up');
    arena.add(first, new Int32Array(16).fill(9));
    arena.release(first);
    const again = arena.allocate(12);
    expect(again.byteOffset).toBe(first.byteOffset);
    expect([...again]).toEqual(Array(12).fill(0));
  });

  it('refuses foreign sums and other lengths', () => {
    const arena = new Int32Sums(1024);
    const sum = arena.allocate(4);
    expect(() => arena.add(new Int32Array(4), new Int32Array(4))).toThrow('not allocated here');
    expect(() => new Int32Sums(1024).add(sum, new Int32Array(4))).toThrow('not allocated here');
    expect(() => arena.add(sum, new Int32Array(5))).toThrow('cannot take 5');
    expect(() => addInt32(new Int32Array(4), new Int32Array(5))).toThrow('cannot take 5');
    expect(() => new Int32Sums(5 * 2 ** 30)).toThrow(RangeError);
  });
});
