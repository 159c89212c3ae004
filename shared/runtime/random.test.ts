import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { naturalLog } from './natural-log.js';
import { philox4x32 } from './philox.js';
import { drawPurposes, permutation, RandomStream } from './random.js';
import type { DrawPurpose } from './random.js';

const take = (stream: RandomStream, n: number): number[] => Array.from({ length: n }, () => stream.uint32());

describe('RandomStream', () => {
  it('lays key and counter out as documented', () => {
    const stream = new RandomStream(7, 'severity', 11, 3, 5);
    const blocks = [0, 1].flatMap((block) => philox4x32([block, 5, 3, 11], [7, 5]));
    expect(take(stream, 8)).toEqual(blocks);
  });

  it('pins the purposes: they are part of every stored run', () => {
    expect(drawPurposes).toEqual({
      init: 1,
      'shard-order': 2,
      'sample-order': 3,
      augment: 4,
      severity: 5,
      degradation: 6,
      sampling: 7,
      evaluation: 8,
      probe: 9,
      dropout: 10,
      target: 11,
      'partner-shard-order': 12,
      'partner-sample-order': 13,
      'partner-augment': 14,
      features: 15,
      'degradation-among': 16,
    });
  });

  it('differs in every part of its name', () => {
    const parts: [number, DrawPurpose, number, number, number][] = [
      [1, 'init', 2, 3, 4],
      [2, 'init', 2, 3, 4],
      [1, 'augment', 2, 3, 4],
      [1, 'init', 3, 3, 4],
      [1, 'init', 2, 4, 4],
      [1, 'init', 2, 3, 5],
    ];
    expect(new Set(parts.map((part) => take(new RandomStream(...part), 4).join())).size).toBe(parts.length);
  });

  it('uniform is in [0, 1), exact in float32, with the right moments', () => {
    const stream = new RandomStream(1, 'probe');
    let sum = 0;
    let squares = 0;
    const n = 20_000;
    for (let i = 0; i < n; i++) {
      const u = stream.uniform();
      if (u < 0 || u >= 1 || Math.fround(u) !== u) throw new Error(`uniform ${u}`);
      sum += u;
      squares += u * u;
    }
    expect(sum / n).toBeCloseTo(0.5, 2);
    expect(squares / n).toBeCloseTo(1 / 3, 2);
  });

  it('below stays in range and reaches every value equally', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2 ** 32 }), fc.nat(), (n, seed) => {
        const value = new RandomStream(seed, 'probe').below(n);
        return Number.isInteger(value) && value >= 0 && value < n;
      }),
    );
    const counts = new Array<number>(6).fill(0);
    const stream = new RandomStream(3, 'probe');
    for (let i = 0; i < 60_000; i++) counts[stream.below(6)]!++;
    for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(500);
  });

  it('below rejects the draws that would be biased', () => {
    // n = 3/4 of 2^32: without rejection the values below 2^30 come up twice as often as the others.
    const n = 3 * 2 ** 30;
    const stream = new RandomStream(5, 'probe');
    let low = 0;
    for (let i = 0; i < 30_000; i++) if (stream.below(n) < 2 ** 30) low++;
    expect(Math.abs(low - 10_000)).toBeLessThan(500);
    for (const bad of [0, -1, 1.5, 2 ** 32 + 1, NaN]) expect(() => stream.below(bad)).toThrow(RangeError);
  });

  it('normal has the moments of a standard normal', () => {
    const stream = new RandomStream(9, 'sampling');
    const n = 40_000;
    const moments = [0, 0, 0, 0];
    for (let i = 0; i < n; i++) {
      const x = stream.normal();
      for (let p = 0; p < 4; p++) moments[p]! += x ** (p + 1) / n;
    }
    expect(Math.abs(moments[0]!)).toBeLessThan(0.02);
    expect(Math.abs(moments[1]! - 1)).toBeLessThan(0.03);
    expect(Math.abs(moments[2]!)).toBeLessThan(0.08);
    expect(Math.abs(moments[3]! - 3)).toBeLessThan(0.2);
  });
});

describe('naturalLog', () => {
  it('agrees with Math.log', () => {
    fc.assert(
      fc.property(fc.double({ min: 1e-300, max: 1e300, noNaN: true, noDefaultInfinity: true }), (x) => {
        const want = Math.log(x);
        return Math.abs(naturalLog(x) - want) <= 4e-15 * Math.max(1, Math.abs(want));
      }),
    );
    expect(naturalLog(1)).toBe(0);
    for (const bad of [0, -1, NaN, Infinity]) expect(() => naturalLog(bad)).toThrow(RangeError);
  });
});

describe('permutation', () => {
  it('holds every index once, and depends on the stream', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 300 }), fc.nat(), (n, seed) => {
        const order = [...permutation(n, new RandomStream(seed, 'sample-order'))];
        return new Set(order).size === n && order.every((index) => index < n);
      }),
    );
    const orders = new Set([1, 2, 3].map((seed) => permutation(50, new RandomStream(seed, 'sample-order')).join()));
    expect(orders.size).toBe(3);
  });
});
