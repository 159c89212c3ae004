import { describe, expect, it } from 'vitest';
import { RandomStream } from '../../runtime/index.js';
import { cholesky, drawFromMixture, fitMixture } from './mixture.js';
import type { Mixture } from './mixture.js';
import { drawStart, generationStart } from './start.js';

const two: Mixture = {
  weights: [0.3, 0.7],
  means: [
    [-0.5, 0.2, 0],
    [0.4, -0.1, 0.3],
  ],
  covariances: [
    [
      [0.01, 0.004, 0],
      [0.004, 0.02, 0.001],
      [0, 0.001, 0.005],
    ],
    [
      [0.02, -0.01, 0.003],
      [-0.01, 0.03, 0],
      [0.003, 0, 0.01],
    ],
  ],
};
const drawn = (mixture: Mixture, count: number): Float64Array[] => {
  const stream = new RandomStream(5, 'sampling');
  return Array.from({ length: count }, () => Float64Array.from(drawFromMixture(mixture, stream)));
};

describe('fitMixture', () => {
  const points = drawn(two, 4000);
  const { mixture, logLikelihood } = fitMixture(points, 2, new RandomStream(1, 'sampling'), 1e-6);

  it('finds the mixture that points were drawn from', () => {
    const order = mixture.means[0]![0]! < mixture.means[1]![0]! ? [0, 1] : [1, 0];
    order.forEach((k, j) => {
      expect(mixture.weights[k]).toBeCloseTo(two.weights[j]!, 1);
      mixture.means[k]!.forEach((value, d) => expect(Math.abs(value - two.means[j]![d]!)).toBeLessThan(0.015));
      mixture.covariances[k]!.forEach((row, a) =>
        row.forEach((value, b) => expect(Math.abs(value - two.covariances[j]![a]![b]!)).toBeLessThan(0.003)),
      );
    });
  });

  it('fits no worse than one component, and gives the same again', () => {
    expect(logLikelihood).toBeGreaterThan(fitMixture(points, 1, new RandomStream(1, 'sampling')).logLikelihood + 0.3);
    expect(fitMixture(points, 2, new RandomStream(1, 'sampling'), 1e-6).mixture).toEqual(mixture);
  });

  it('one component is the mean and the covariance', () => {
    const one = fitMixture(points, 1, new RandomStream(9, 'sampling')).mixture;
    const mean = [0, 1, 2].map((d) => points.reduce((sum, point) => sum + point[d]!, 0) / points.length);
    one.means[0]!.forEach((value, d) => expect(value).toBeCloseTo(mean[d]!, 10));
    const covariance = points.reduce((sum, p) => sum + (p[0]! - mean[0]!) * (p[1]! - mean[1]!), 0) / points.length;
    expect(one.covariances[0]![0]![1]).toBeCloseTo(covariance, 10);
  });

  it('survives equal points and refuses more components than points', () => {
    const same = Array.from({ length: 5 }, () => Float64Array.of(0.25, 0.5));
    const { mixture: flat } = fitMixture(same, 2, new RandomStream(1, 'sampling'));
    expect(flat.weights.reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(1, 9);
    expect(flat.weights.every(Number.isFinite) && flat.means.flat().every(Number.isFinite)).toBe(true);
    expect(() => fitMixture(same, 6, new RandomStream(1, 'sampling'))).toThrow('there may be 1 to 5');
    expect(() =>
      cholesky([
        [1, 2],
        [2, 1],
      ]),
    ).toThrow('not positive definite');
  });
});

describe('the start of generation', () => {
  const geometry = { size: 4, channels: 3 };

  it('is one colour without noise, and that colour plus noise with it', () => {
    const start = (noise: number) =>
      drawStart({ mixture: two, noise }, geometry, new RandomStream(3, 'sampling', 0, 1, 2));
    const flat = start(0);
    expect(new Set(flat).size).toBe(3);
    const broken = start(0.002);
    const differences = broken.map((value, i) => value - flat[i]!);
    expect(Math.max(...differences.map(Math.abs))).toBeLessThan(0.012);
    expect(new Set(broken).size).toBe(48);
  });

  it('is there for degradations that lose the whole image only', () => {
    const blur = { family: 'blur', steps: 4, routine: 'Exponential', kernelSize: 3, kernelStd: 1 } as const;
    expect(generationStart({ ...blur, discrete: true })).toBe('prior');
    expect(generationStart({ family: 'noise', steps: 4 })).toBe('nothing');
    const mask = { family: 'colour-mask', steps: 4, kernelStd: 1, initialMask: 1 } as const;
    expect(generationStart({ ...mask, reverse: true })).toBe('nothing');
    expect(() => generationStart({ ...blur, discrete: false })).toThrow('"blur" without "discrete"');
    expect(() => generationStart({ ...mask, reverse: false })).toThrow('"colour-mask" without "reverse"');
    expect(() => generationStart({ family: 'super-resolution', steps: 2, routine: 'Incremental_factor_2' })).toThrow(
      '"super-resolution".',
    );
  });
});
