import { describe, expect, it } from 'vitest';
import { RandomStream } from '../../runtime/index.js';
import { l1, psnr, rmse, toZeroOne } from './pixel-error.js';
import { ssim } from './ssim.js';

const uniform = (length: number, seed = 1): Float64Array => {
  const stream = new RandomStream(seed, 'evaluation');
  return Float64Array.from({ length }, () => stream.uniform());
};

describe('pixel errors', () => {
  it('have known values', () => {
    expect(l1([0, 1], [1, 3])).toBe(1.5);
    expect(rmse([0, 0], [3, 4])).toBeCloseTo(Math.sqrt(12.5), 12);
    expect(psnr([0, 0], [0.1, 0.1])).toBeCloseTo(20, 6);
    expect(Array.from(toZeroOne(Float32Array.of(-1, 0, 1)))).toEqual([0, 0.5, 1]);
    expect(() => l1([1], [1, 2])).toThrow('cannot be compared');
  });
});

describe('ssim', () => {
  const shape = { batch: 2, height: 12, width: 14, channels: 2 };
  const a = uniform(2 * 12 * 14 * 2);

  it('is 1 for equal images and less otherwise, per image and channel', () => {
    expect(ssim(a, a, shape).mean).toBeCloseTo(1, 12);
    const b = a.slice();
    b[0]! += 0.5;
    const { mean, perChannel } = ssim(a, b, shape);
    expect(mean).toBeLessThan(1);
    expect(perChannel[0]).toBeLessThan(1);
    expect(perChannel[1]).toBeCloseTo(1, 12);
    expect(perChannel[2]).toBeCloseTo(1, 12);
  });

  it('refuses images smaller than its window', () => {
    expect(() => ssim([1], [1], { batch: 1, height: 1, width: 1, channels: 1 })).toThrow('at least 11');
  });
});
