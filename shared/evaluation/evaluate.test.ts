import { describe, expect, it } from 'vitest';
import { RandomStream } from '@thaw/shared/runtime';
import { comparedImages, officialConvention, plainConvention } from './conventions.js';
import type { Estimate, EstimateSource } from './estimates.js';
import { evaluate } from './evaluate.js';
import type { FeatureExtractor } from './features/index.js';
import { resamplingPlan } from './frechet-scores.js';
import { reportMarkdown } from './markdown.js';
import { parseMetrics, type Metric } from './metrics.js';

const shape = { height: 2, width: 2, channels: 1 };
const flat = (value: number): Float32Array => new Float32Array(4).fill(value);

/** Estimates that were computed elsewhere: all that the evaluator knows of them. */
function given(count: number, estimate: (image: number) => Omit<Estimate, 'errors'>, blockSize = 8): EstimateSource {
  return {
    origin: {
      run: 'elsewhere',
      step: 5,
      manifestSha256: 'b'.repeat(64),
      fingerprint: 'f'.repeat(64),
      dataset: 'flats',
      split: 'test',
      family: 'blur',
      sampler: 'algorithm2',
      severities: [2, 1],
      seed: 0,
    },
    shape,
    available: count,
    blockSize,
    estimates: (images) => Promise.resolve(images.map((image) => ({ ...estimate(image), errors: [] }))),
  };
}
/** Two features of an image: its first value, and that plus its last. */
const twoFeatures: FeatureExtractor = {
  metric: 'frechet-two',
  title: 'Frechet distance on two numbers',
  sha256: 'c'.repeat(64),
  dimensions: 2,
  extract: (images) =>
    Promise.resolve(Float32Array.from(images.flatMap((image) => [image[0]!, image[0]! + image[3]!]))),
};
const metrics: Metric[] = ['rmse', 'l1'];
const request = { metrics, convention: plainConvention, seed: 1 };

describe('conventions', () => {
  const estimate: Estimate = {
    original: flat(0),
    degraded: flat(1),
    direct: flat(2),
    sampled: flat(3),
    firstUpdate: flat(4),
    lastEstimate: flat(5),
    errors: [],
  };
  it.each([
    ['blur', 1, 3],
    ['super-resolution', 1, 5],
    ['mask', 4, 5],
    ['snow', 4, 5],
    ['decolorization', 4, 5],
    ['noise', 1, 3],
  ])('of the official code for %s', (family, degraded, sampled) => {
    const convention = officialConvention(family, 50);
    expect(convention.firstImage).toBe(1);
    const images = comparedImages(estimate, convention);
    expect([images.degraded[0], images.direct[0], images.sampled[0]]).toEqual([degraded, 2, sampled]);
    expect(comparedImages(estimate, plainConvention).sampled[0]).toBe(3);
  });
});

describe('the bootstrap', () => {
  it('is as wide as the deviation of the mean, and paired for differences', async () => {
    const source = given(100, (i) => ({
      original: flat(0),
      degraded: flat(2),
      direct: flat((i % 10) / 10),
      sampled: flat((i % 10) / 10 - 0.01),
    }));
    const { report } = await evaluate(source, request);
    // On [0, 1] the values 0, 0.05, .. 0.45 have deviation 0.1436; of the mean of 100: 0.01436, times 2 * 1.96.
    const { value, low, high } = report.scores.l1!.direct;
    expect(value).toBeCloseTo(0.225, 6);
    expect(high! - low!).toBeGreaterThan(0.85 * 0.0563);
    expect(high! - low!).toBeLessThan(1.15 * 0.0563);
    const difference = report.sampledMinusDirect.l1!;
    expect(difference.high! - difference.low!).toBeLessThan(0.25 * (high! - low!));
    expect(difference.high).toBeLessThan(0);
  });
});

describe('evaluate', () => {
  /** Directly restored images have a smaller deviation, sampled ones the right one elsewhere. */
  const noisy = given(400, (image) => {
    const stream = new RandomStream(9, 'evaluation', 0, 7, image);
    const [a, b] = [stream.normal(), stream.normal()];
    const pair = (x: number, y: number): Float32Array => Float32Array.of(x, 0, 0, y);
    return { original: pair(a, b), degraded: pair(0, 0), direct: pair(a / 2, b / 2), sampled: pair(a + 0.5, b) };
  });

  it('gives the Frechet distance under the name of its features, with intervals around it', async () => {
    const { report } = await evaluate(noisy, { ...request, metrics: ['fid'], features: twoFeatures });
    expect(Object.keys(report.scores)).toEqual(['frechet-two']);
    const distances = report.scores['frechet-two']!;
    // Features (a, a + b): half the deviations take a quarter of the trace of the covariance, 3; the shift is (0.5, 0.5).
    expect(distances.direct.value).toBeGreaterThan(0.6);
    expect(distances.direct.value).toBeLessThan(0.9);
    expect(distances.sampled.value).toBeCloseTo(0.5, 4);
    for (const { value, low, high } of Object.values(distances)) {
      expect(low!).toBeLessThanOrEqual(value + 1e-12);
      expect(high!).toBeGreaterThanOrEqual(value - 1e-12);
    }
    expect(report.features).toMatchObject({ groups: 100, resamplings: 200, dimensions: 2 });
    expect(reportMarkdown(report)).toContain('It is not FID');
    expect((await evaluate(noisy, { ...request, metrics: ['fid'], features: twoFeatures })).report).toEqual(report);
  });

  it('does not resample where that would cost too much', async () => {
    expect(resamplingPlan(2048).resamplings).toBe(0);
    const wide: FeatureExtractor = {
      ...twoFeatures,
      dimensions: 600,
      extract: (images) =>
        Promise.resolve(
          Float32Array.from({ length: images.length * 600 }, (_, i) => images[Math.floor(i / 600)]![0]! * i),
        ),
    };
    const { report } = await evaluate(noisy, { ...request, count: 20, metrics: ['fid'], features: wide });
    expect(report.scores['frechet-two']!.direct.low).toBeUndefined();
    expect(reportMarkdown(report)).toContain('It has no intervals');
    expect(reportMarkdown(report)).toContain('biased upwards');
  });

  it('refuses what cannot be, before any estimate is asked for', async () => {
    const untouched: EstimateSource = { ...noisy, estimates: () => Promise.reject(new Error('asked')) };
    const refusal = (change: object) =>
      evaluate(untouched, { ...request, ...change }).catch((error: Error) => error.message);
    expect(await refusal({ count: 401 })).toBe('count: 401 images were asked for; the split test of flats has 400.');
    expect(await refusal({ convention: officialConvention('blur', 2), count: 400 })).toContain(
      'has 399 from number 1 on',
    );
    expect(await refusal({ metrics: ['fid'] })).toContain('without features to take it on');
    expect(await refusal({ metrics: ['fid'], features: twoFeatures, count: 1 })).toContain('two images or more');
    expect(await refusal({ metrics: ['ssim'] })).toContain('ssim needs images of 11 pixels');
    expect(() => parseMetrics('rmse,lpips')).toThrow(
      'metrics: "lpips" is unknown; there are rmse, ssim, psnr, l1, fid, frechet.',
    );
    expect(parseMetrics('l1, rmse')).toEqual(['rmse', 'l1']);
  });

  it('refuses restorations that are no numbers, naming image and row', async () => {
    const wrong = given(12, (image) => ({
      original: flat(0),
      degraded: flat(0),
      direct: flat(image === 9 ? NaN : 0),
      sampled: flat(0),
    }));
    await expect(evaluate(wrong, request)).rejects.toThrow(
      'direct: image 9 has values that are no numbers, restored by step 5 of run elsewhere.',
    );
  });
});
