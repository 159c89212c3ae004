import { describe, expect, it } from 'vitest';
import { evaluate, officialConvention, plainConvention, reportMarkdown, type Metric } from '@thaw/shared/evaluation';
import { ThawError } from '@thaw/shared/protocol';
import type { ModelSource, RestorationModel, TestImages } from '../ports.js';
import { localEstimates, type EstimatesRequest } from './local-estimates.js';

const shape = { height: 12, width: 12, channels: 1 };
const flat = (value: number): Float32Array => new Float32Array(144).fill(value);
const version = { run: 'toy', step: 7, manifestSha256: 'a'.repeat(64) };

/** Image i is flat at i / 10; D(x, s) = x - s / 10; the network takes half of the loss away. */
const model: RestorationModel = {
  version,
  shape,
  steps: 4,
  dataset: 'flats',
  family: 'mask',
  batchSizes: [2],
  fingerprint: () => Promise.resolve({ fields: {}, sha256: 'c'.repeat(64) }),
  hold: () => () => undefined,
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
  newestOf: () => Promise.resolve(version),
  load: () => Promise.resolve(model),
  loaded: () => [version],
};
const images: TestImages = {
  count: () => Promise.resolve(5),
  image: (_, __, index) => Promise.resolve(flat(index / 10)),
  meanTrain: () => Promise.resolve(flat(0)),
};
const source = (change: Partial<EstimatesRequest> = {}) =>
  localEstimates(models, images, { run: 'toy', step: 7, split: 'test', sampler: 'algorithm2', seed: 3, ...change });
const metrics: Metric[] = ['rmse', 'l1'];
const plain = { metrics, convention: plainConvention, seed: 3 };

describe('localEstimates', () => {
  it('scores degraded, direct and sampled images on [0, 1], and the way', async () => {
    const done: number[] = [];
    const { report } = await evaluate(await source(), plain, (n) => done.push(n));
    expect(done).toEqual([5]);
    expect(report).toMatchObject({ run: 'toy', step: 7, dataset: 'flats', family: 'mask', severities: [4, 3, 2, 1] });
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
    expect((await evaluate(await source(), plain)).report).toEqual(report);
  });

  it('takes x_{T-1} and the last estimate of a mask, from the second image on, as the official code', async () => {
    const estimates = await source();
    const { report, pictures } = await evaluate(estimates, {
      ...plain,
      convention: officialConvention('mask', estimates.origin.severities.length),
    });
    expect(report.count).toBe(4);
    expect(pictures.map(({ image }) => image)).toEqual([1, 2, 3, 4]);
    expect(report.scores.rmse!.degraded.value).toBeCloseTo(0.15, 6);
    // R(x_1, 0) is x_0 - 0.1 + 0.05, on [-1, 1].
    expect(report.scores.rmse!.sampled.value).toBeCloseTo(0.025, 6);
  });

  it('thins severities, and takes one call for direct', async () => {
    expect((await source({ calls: 2 })).origin.severities).toEqual([4, 2]);
    const { report } = await evaluate(await source({ sampler: 'direct' }), {
      ...plain,
      convention: officialConvention('mask', 1),
    });
    expect(report.scores.rmse!.sampled.value).toBe(report.scores.rmse!.direct.value);
    expect(report.scores.rmse!.degraded.value).toBeCloseTo(0.2, 6);
  });

  it('refuses what cannot be', async () => {
    await expect(source({ calls: 5 })).rejects.toThrow('5 severities were asked for, the model has 4');
    const direct = await source({ sampler: 'direct' });
    const refused = evaluate(direct, { ...plain, convention: officialConvention('mask', 4) });
    await expect(refused).rejects.toThrow(ThawError);
    await expect(refused).rejects.toThrow('degraded: these estimates come without the first-update');
  });
});
