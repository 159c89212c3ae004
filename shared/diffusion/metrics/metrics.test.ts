import { describe, expect, it } from 'vitest';
import { RandomStream } from '../../runtime/index.js';
import { multiplyMatrices } from '../axis-operator.js';
import { featureStatistics, frechetDistance } from './frechet.js';
import { l1, psnr, rmse, toZeroOne } from './pixel-error.js';
import { ssim } from './ssim.js';
import { symmetricEigen } from './symmetric-eigen.js';

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

describe('symmetricEigen', () => {
  it.each([1, 2, 7, 40])('rebuilds a matrix of %i rows', (n) => {
    const half = uniform(n * n, n).map((v) => v - 0.5);
    const matrix = Float64Array.from({ length: n * n }, (_, i) => half[i]! + half[(i % n) * n + Math.floor(i / n)]!);
    const { values, vectors } = symmetricEigen(matrix, n);
    const scaled = vectors.map((v, i) => v * values[i % n]!);
    const transposed = Float64Array.from({ length: n * n }, (_, i) => vectors[(i % n) * n + Math.floor(i / n)]!);
    const rebuilt = multiplyMatrices(scaled, transposed, n);
    rebuilt.forEach((v, i) => expect(Math.abs(v - matrix[i]!)).toBeLessThan(1e-12 * n));
    expect(Array.from(values)).toEqual(Array.from(values).sort((x, y) => x - y));
  });

  it('takes a diagonal and a zero matrix', () => {
    expect(Array.from(symmetricEigen(Float64Array.of(3, 0, 0, 1), 2).values)).toEqual([1, 3]);
    expect(Array.from(symmetricEigen(new Float64Array(9), 3).values)).toEqual([0, 0, 0]);
  });
});

describe('frechetDistance', () => {
  it('is 0 for equal sets and the squared shift for shifted ones', () => {
    const features = uniform(50 * 4);
    const shifted = features.map((v) => v + 0.5);
    const [a, b] = [featureStatistics(features, 4), featureStatistics(shifted, 4)];
    expect(frechetDistance(a, a)).toBeCloseTo(0, 10);
    expect(frechetDistance(a, b)).toBeCloseTo(1, 8);
  });

  it('of commuting covariances is the sum of squared differences of deviations', () => {
    const statistics = (deviations: number[]) => ({
      dimensions: 2,
      mean: Float64Array.of(0, 0),
      covariance: Float64Array.of(deviations[0]! ** 2, 0, 0, deviations[1]! ** 2),
    });
    expect(frechetDistance(statistics([1, 2]), statistics([3, 5]))).toBeCloseTo(13, 10);
  });

  it('is finite for singular covariances', () => {
    const line = Float64Array.from({ length: 30 }, (_, i) => Math.floor(i / 3));
    const statistics = featureStatistics(line, 3);
    // Rounding of a zero eigenvalue enters through its square root.
    expect(Math.abs(frechetDistance(statistics, statistics))).toBeLessThan(1e-5);
  });
});
