import { describe, expect, it } from 'vitest';
import { ThawError } from '@thaw/shared/protocol';
import type { ModelSource, RestorationModel, TestImages } from '../ports.js';
import { reportCheckpoint } from './checkpoint-report.js';
import { parseMetrics, ReportBoard, reportMarkdown } from './report.js';

const shape = { height: 12, width: 12, channels: 1 };
const flat = (value: number): Float32Array => new Float32Array(144).fill(value);
const version = { run: 'toy', step: 7, manifestSha256: 'a'.repeat(64) };

/** Image i is flat at i / 10; D(x, s) = x - s / 10; the network takes half of the loss away. */
const model: RestorationModel = {
  version,
  shape,
  steps: 4,
  dataset: 'flats',
  batchSizes: [2],
  drawContext: () => ({}),
  step: (rows) =>
    Promise.resolve(
      rows.map(({ x, severity, nextSeverity }) => {
        const estimate = x.map((value) => value + severity / 20);
        const degraded = estimate.map((value) => value - nextSeverity / 10);
        const improved = x.map((value, i) => value - (estimate[i]! - severity / 10) + degraded[i]!);
        return { estimate, degraded, improved };
      }),
    ),
  degrade: (rows) => Promise.resolve(rows.map(({ x0, severity }) => x0.map((value) => value - severity / 10))),
};
const models: ModelSource = {
  headOf: () => Promise.resolve(version),
  versionOf: () => Promise.resolve(version),
  load: () => Promise.resolve(model),
  loaded: () => [version],
};
const images: TestImages = {
  count: () => Promise.resolve(5),
  image: (_, __, index) => Promise.resolve(flat(index / 10)),
  meanTrain: () => Promise.resolve(flat(0)),
};
const request = {
  run: 'toy',
  step: 7,
  split: 'test',
  count: 5,
  metrics: ['rmse', 'l1'],
  sampler: 'algorithm2',
  seed: 3,
} as const;

describe('reportCheckpoint', () => {
  it('scores degraded, direct and sampled images on [0, 1], and the way', async () => {
    const done: number[] = [];
    const report = await reportCheckpoint(models, images, request, (n) => done.push(n));
    expect(done).toEqual([2, 4, 5]);
    expect(report.severities).toEqual([4, 3, 2, 1]);
    // Degraded by 0.4 of [-1, 1]; half of it comes back directly; Algorithm 2 is exact for x - s e.
    expect(report.scores.rmse!.degraded.value).toBeCloseTo(0.2, 6);
    expect(report.scores.rmse!.direct.value).toBeCloseTo(0.1, 6);
    expect(report.scores.rmse!.sampled.value).toBeCloseTo(0, 6);
    expect(report.scores.l1!.direct).toMatchObject({ low: expect.closeTo(0.1, 6), high: expect.closeTo(0.1, 6) });
    expect(report.sampledMinusDirect.rmse!.value).toBeCloseTo(-0.1, 6);
    expect(report.curve.map(({ severity }) => severity)).toEqual([4, 3, 2, 1]);
    expect(report.curve[1]!.state).toBeCloseTo(0.15, 6);
    expect(report.curve[1]!.estimate).toBeCloseTo(0.075, 6);
    expect(report.scores.ssim).toBeUndefined();
    expect(reportMarkdown(report)).toContain('| direct | 0.1000 (0.1000 to 0.1000) |');
    expect(await reportCheckpoint(models, images, request)).toEqual(report);
  });

  it('thins severities, and takes one call for direct', async () => {
    const thin = await reportCheckpoint(models, images, { ...request, calls: 2 });
    expect(thin.severities).toEqual([4, 2]);
    const direct = await reportCheckpoint(models, images, { ...request, sampler: 'direct' });
    expect(direct.scores.rmse!.sampled.value).toBe(direct.scores.rmse!.direct.value);
  });

  it('refuses what cannot be', async () => {
    const refusal = (change: object) =>
      reportCheckpoint(models, images, { ...request, ...change }).catch(
        (error: unknown) => (error as ThawError).message,
      );
    expect(await refusal({ count: 6 })).toBe('count: 6 images were asked for; the split test of flats has 5.');
    expect(await refusal({ calls: 5 })).toContain('5 severities were asked for, the model has 4');
    expect(() => parseMetrics('rmse,fid')).toThrow('metrics: "fid" is unknown; there are rmse, ssim, psnr, l1.');
    expect(parseMetrics('l1, rmse')).toEqual(['rmse', 'l1']);
    const small = { height: 8, width: 8, channels: 1 };
    expect(() => new ReportBoard({ shape: small, metrics: ['ssim'] })).toThrow('ssim needs images of 11 pixels');
  });
});

describe('the bootstrap', () => {
  const board = new ReportBoard({ shape, metrics: ['l1'], seed: 1 });
  const errors = Array.from({ length: 100 }, (_, i) => (i % 10) / 10);
  for (const error of errors)
    board.add({ original: flat(0), degraded: flat(2), direct: flat(error), sampled: flat(error - 0.01), states: [] });
  const { scores, sampledMinusDirect } = board.scores();

  it('is as wide as the deviation of the mean', () => {
    // On [0, 1] the values 0, 0.05, .. 0.45 have deviation 0.1436; of the mean of 100: 0.01436, times 2 * 1.96.
    const { value, low, high } = scores.l1!.direct;
    expect(value).toBeCloseTo(0.225, 6);
    expect(high - low).toBeGreaterThan(0.85 * 0.0563);
    expect(high - low).toBeLessThan(1.15 * 0.0563);
    expect(low).toBeLessThan(value);
    expect(high).toBeGreaterThan(value);
  });

  it('compares on the same resamplings: a constant difference has a narrow interval', () => {
    const { low, high } = sampledMinusDirect.l1!;
    expect(high - low).toBeLessThan(0.25 * (scores.l1!.direct.high - scores.l1!.direct.low));
    expect(high).toBeLessThan(0);
  });
});
