import { describe, expect, it } from 'vitest';
import { RandomStream } from '../../runtime/index.js';
import { cholesky, drawFromMixture, fitMixture } from './mixture.js';
import type { Mixture } from './mixture.js';
import { createDegradation } from '../registry.js';
import { shrink, shrinkingRows } from './shrunk.js';
import { drawFromPrior, drawStartNoise, generationStart, usualPriorEdge } from './start.js';

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
  const stream = (lane: number) => new RandomStream(3, 'sampling', 0, lane, 2);

  it('is one colour, or a few pixels enlarged without smoothing', () => {
    const flat = drawFromPrior({ mixture: two, edge: 1 }, geometry, stream(1));
    expect(new Set(flat).size).toBe(3);
    const means = [Array.from({ length: 12 }, (_, i) => i / 12)];
    const covariance = means[0]!.map((_, a) => means[0]!.map((_, b) => (a === b ? 1e-12 : 0)));
    const mixture = { weights: [1], means, covariances: [covariance] };
    const quarters = drawFromPrior({ mixture, edge: 2 }, geometry, stream(1));
    quarters.forEach((value, k) => {
      const [y, x, c] = [Math.floor(k / 12), Math.floor(k / 3) % 4, k % 3];
      expect(value).toBeCloseTo(((y >> 1) * 6 + (x >> 1) * 3 + c) / 12, 4);
    });
  });

  it('can be given noise, the same from the same stream', () => {
    const noise = drawStartNoise(0.002, 4800, stream(3));
    const deviation = Math.sqrt(noise.reduce((sum, v) => sum + v * v, 0) / noise.length);
    expect(Math.abs(deviation - 0.002)).toBeLessThan(0.0001);
    expect(drawStartNoise(0.002, 4800, stream(3))).toEqual(noise);
  });

  it('is there for degradations that lose the image', () => {
    const blur = { family: 'blur', steps: 4, routine: 'Exponential', kernelSize: 3, kernelStd: 1 } as const;
    expect(generationStart({ ...blur, discrete: true })).toEqual({ from: 'prior', noise: 0.002 });
    expect(generationStart({ ...blur, discrete: false }).from).toBe('prior');
    expect(usualPriorEdge({ ...blur, discrete: true }, 8)).toBe(1);
    expect(usualPriorEdge({ ...blur, discrete: false }, 8)).toBeUndefined();
    const halving = { family: 'super-resolution', steps: 2, routine: 'Incremental_factor_2' } as const;
    expect(generationStart(halving)).toEqual({ from: 'prior', noise: 0 });
    expect(usualPriorEdge(halving, 8)).toBe(2);
    expect(generationStart({ family: 'noise', steps: 4 })).toEqual({ from: 'nothing', noise: undefined });
    expect(generationStart({ family: 'animorphosis', steps: 4, partners: 'a' })).toEqual({ from: 'nothing', noise: 0 });
    const mask = { family: 'colour-mask', steps: 4, kernelStd: 1, initialMask: 1 } as const;
    expect(generationStart({ ...mask, reverse: true })).toEqual({ from: 'nothing', noise: 0 });
    expect(() => generationStart({ ...mask, reverse: false })).toThrow('"colour-mask" without "reverse"');
    expect(() => generationStart({ family: 'decolorization', steps: 2, routine: 'Linear' } as never)).toThrow(
      '"decolorization".',
    );
  });
});

describe('shrinking', () => {
  const size = 12;
  const random = new RandomStream(8, 'evaluation');
  const images = Float32Array.from({ length: 2 * size * size * 3 }, () => 2 * random.uniform() - 1);
  const pixel = (y: number, x: number, c: number): number => images[size * size * 3 + (y * size + x) * 3 + c]!;

  it('of the mean colour is the mean, of halved images their blocks', () => {
    const blur = createDegradation(
      { family: 'blur', steps: 3, routine: 'Exponential', kernelSize: 5, kernelStd: 0.5, discrete: true },
      { size, channels: 3 },
    );
    const mean = shrink(shrinkingRows(blur, 3, 1), images, size * size * 3, size, 3);
    const halving = createDegradation(
      { family: 'super-resolution', steps: 2, routine: 'Incremental_area_factor_2' },
      { size, channels: 3 },
    );
    const blocks = shrink(shrinkingRows(halving, 2, 3), images, size * size * 3, size, 3);
    for (let c = 0; c < 3; c++) {
      let sum = 0;
      for (let y = 0; y < size; y++) for (let x = 0; x < size; x++) sum += pixel(y, x, c);
      expect(mean[c]).toBeCloseTo(sum / (size * size), 6);
      let block = 0;
      for (let y = 4; y < 8; y++) for (let x = 8; x < 12; x++) block += pixel(y, x, c);
      expect(blocks[(1 * 3 + 2) * 3 + c]).toBeCloseTo(block / 16, 6);
    }
  });
});
