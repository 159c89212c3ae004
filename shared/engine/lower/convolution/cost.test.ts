import { describe, expect, it } from 'vitest';
import { costNames, measuredCosts, nanoseconds, productTerms } from './cost.js';
import { estimatePlain, estimateWinograd, inputGradientProducts, tileCount, totalOf } from './estimate.js';

const product = { batch: 36, rows: 512, depth: 128, columns: 64 };

describe('the cost of a product', () => {
  it('counts its operations and the numbers that are copied for it', () => {
    const right = 36 * 128 * 64;
    expect(productTerms(product)).toEqual({
      flop: 2 * 36 * 512 * 128 * 64,
      right,
      rightTransposed: 0,
      streamed: 0,
      streamedTransposed: 0,
      leftTransposed: 0,
      result: 36 * 512 * 64,
    });
    expect(productTerms({ ...product, rightTransposed: true })).toMatchObject({ right: 0, rightTransposed: right });
    expect(productTerms({ ...product, columns: 1024 })).toMatchObject({ streamed: 36 * 128 * 1024 });
    expect(productTerms({ ...product, leftTransposed: true, columns: 129 }).leftTransposed).toBe(2 * 36 * 512 * 128);
  });

  it('is the sum of its terms, by constants that are all known', () => {
    expect(Object.keys(measuredCosts).sort()).toEqual([...costNames].sort());
    expect(nanoseconds({ flop: 10, copy: 5 }, { ...measuredCosts, flop: 2, copy: 3 })).toBe(35);
    // 90 GFLOP/s or less: what nobody can be faster than here.
    expect(nanoseconds({ flop: 1 })).toBeGreaterThan(1 / 120);
  });
});

describe('the estimate of a convolution', () => {
  const layer = (n: number, side: number, c: number, o: number) => ({ n, height: side, width: side, c, o });

  it('counts partial tiles as whole ones', () => {
    expect(tileCount([2, 7, 9], 4)).toBe(2 * 2 * 3);
    expect(tileCount([2, 8, 8], 2)).toBe(32);
  });

  it('prefers larger tiles where many of them share a filter, and smaller ones or none where few do', () => {
    const ways = (n: number, side: number, c: number, o: number): string => {
      const costs = {
        two: totalOf(estimateWinograd(layer(n, side, c, o), 2)),
        four: totalOf(estimateWinograd(layer(n, side, c, o), 4)),
        plain: totalOf(estimatePlain(layer(n, side, c, o))),
      };
      return Object.entries(costs).sort((a, b) => a[1] - b[1])[0]![0];
    };
    expect(ways(8, 28, 32, 64)).toBe('four');
    expect(ways(8, 4, 512, 1024)).toBe('two');
    expect(ways(1, 8, 512, 1024)).toBe('plain');
  });

  it('has the filter as the left factor where it is large and tiles are few', () => {
    expect(inputGradientProducts(layer(4, 8, 512, 1024), 2).filterFirst).toBe(true);
    expect(inputGradientProducts(layer(4, 64, 64, 128), 4).filterFirst).toBe(false);
  });
});
