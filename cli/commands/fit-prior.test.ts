import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { packDataset, type ImageSource } from '@thaw/shared/data';
import { priorKey, PriorSchema, RunConfigSchema } from '@thaw/shared/protocol';
import { createRun, openStore, sha256Hex } from '@thaw/shared/storage';
import { fitPrior, fittedPriorText } from './fit-prior.js';

const run = RunConfigSchema.parse({
  format: 'thaw.run/1',
  name: 'colours',
  seed: 1,
  data: { dataset: 'flat', size: 8, channels: 3 },
  degradation: { family: 'blur', steps: 3, routine: 'Exponential', kernelSize: 5, kernelStd: 0.5, discrete: true },
  network: { kind: 'convnext-unet', dim: 8, mults: [1] },
  optimizer: { learningRate: 1e-3 },
  batch: { global: 4, micro: 2 },
  steps: 10,
});
/** Every second image is dark, the others are light; stored with a rim of 2 pixels that is never looked at. */
const source: ImageSource = {
  identity: 'colours',
  count: 40,
  async *items(from) {
    for (let i = from; i < 40; i++) {
      const value = (i % 2 === 0 ? 50 : 200) + (i % 5);
      const inside = (p: number): boolean => p >= 2 && p < 10;
      const pixels = Uint8Array.from({ length: 12 * 12 * 3 }, (_, k) => {
        const [y, x] = [Math.floor(k / 36), Math.floor(k / 3) % 12];
        return inside(y) && inside(x) ? value + (k % 3) : 0;
      });
      yield { kind: 'image', name: `${i}`, width: 12, height: 12, channels: 3, pixels };
    }
  },
};

let folder: string;
let storeUrl: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'thaw-prior-'));
  storeUrl = pathToFileURL(join(folder, 'store')).href;
  const store = await openStore(storeUrl);
  // Small shards: the fit crosses them.
  await packDataset(store, { train: source }, { name: 'flat', preprocessing: { method: 'none' }, shardBytes: 7 * 432 });
  await createRun(store, run);
  await createRun(store, { ...run, name: 'plain', degradation: { ...run.degradation, discrete: false } as never });
  await createRun(store, { ...run, name: 'hot', degradation: { family: 'noise', steps: 3 } });
  const halving = { family: 'super-resolution', steps: 2, routine: 'Incremental_factor_2' } as const;
  await createRun(store, { ...run, name: 'small', degradation: halving });
  await createRun(store, {
    ...run,
    name: 'sixteen',
    data: { ...run.data, size: 12 },
    degradation: { ...halving, steps: 1 },
  });
});
afterAll(() => rmSync(folder, { recursive: true }));

it('fits the colours of the images as the network sees them, and stores the mixture with the run', async () => {
  const prior = await fitPrior({ storeUrl, run: 'colours', clusters: 2, seed: 4 });
  const [dark, light] = [...prior.mixture.means].sort((a, b) => a[0]! - b[0]!);
  [0, 1, 2].forEach((c) => {
    expect(dark![c]).toBeCloseTo(((52 + c) / 255) * 2 - 1, 5);
    expect(light![c]).toBeCloseTo(((202 + c) / 255) * 2 - 1, 5);
  });
  expect(prior.mixture.weights[0]).toBeCloseTo(0.5, 6);
  expect(prior.images).toBe(40);
  expect(prior).toMatchObject({ edge: 1, severity: 3 });
  const stored = (await (await openStore(storeUrl)).get(priorKey('colours')))!;
  const { sha256, checkpoints, ...itself } = prior;
  expect(PriorSchema.parse(JSON.parse(new TextDecoder().decode(stored.bytes)))).toEqual(itself);
  expect([sha256, checkpoints]).toEqual([sha256Hex(stored.bytes), { bound: [], others: [] }]);
  expect(await fitPrior({ storeUrl, run: 'colours', clusters: 2, seed: 4 })).toEqual(prior);
  expect(fittedPriorText(prior)).toContain('It is for the checkpoints to come.');
  const text = fittedPriorText({ ...prior, checkpoints: { bound: [30], others: [10, 20] } });
  expect(text).toContain('It is for checkpoint 30 and the checkpoints to come.');
  expect(text).toContain(`For checkpoints 10, 20 nothing changes; with thaw sample --prior ${sha256} they`);
});

it('fits images of a few pixels too, degraded to a severity', async () => {
  const prior = await fitPrior({ storeUrl, run: 'small', clusters: 2, seed: 4 });
  expect(prior).toMatchObject({ edge: 2, severity: 2 });
  expect(prior.mixture.means.map((mean) => mean.length)).toEqual([12, 12]);
  // Flat images stay flat: all four pixels of a mean are the colour.
  const [dark] = [...prior.mixture.means].sort((a, b) => a[0]! - b[0]!);
  dark!.forEach((value, k) => expect(value).toBeCloseTo(((52 + (k % 3)) / 255) * 2 - 1, 5));
  const early = await fitPrior({ storeUrl, run: 'plain', clusters: 1, seed: 0, edge: 4, severity: 2 });
  expect(early).toMatchObject({ edge: 4, severity: 2 });
  expect(early.mixture.covariances[0]).toHaveLength(48);
});

it('names what it cannot be fitted for, before a picture is read', async () => {
  const attempt = (name: string, options: object = {}) =>
    fitPrior({ storeUrl, run: name, seed: 0, clusters: 1, ...options });
  await expect(attempt('plain')).rejects.toThrow(
    'edge: the degradation "blur" of run plain does not end in one colour',
  );
  await expect(attempt('hot')).rejects.toThrow('needs no prior');
  await expect(attempt('colours', { clusters: 41 })).rejects.toThrow(
    'clusters: 41 cannot be fitted to the 40 training images',
  );
  await expect(attempt('sixteen', { clusters: 4 })).rejects.toThrow('there may be 40000');
  await expect(attempt('plain', { edge: 9 })).rejects.toThrow('edge: 9 is not an integer in 1..8');
  await expect(attempt('plain', { edge: 2, severity: 4 })).rejects.toThrow('severity: 4 is not an integer in 1..3');
  await expect(attempt('absent')).rejects.toMatchObject({ code: 'THAW_RUN_NOT_FOUND' });
});
