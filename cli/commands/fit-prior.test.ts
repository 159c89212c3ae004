import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { packDataset, type ImageSource } from '@thaw/shared/data';
import { priorKey, PriorSchema, RunConfigSchema } from '@thaw/shared/protocol';
import { createRun, openStore } from '@thaw/shared/storage';
import { fitPrior } from './fit-prior.js';

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
  const stored = (await (await openStore(storeUrl)).get(priorKey('colours')))!;
  expect(PriorSchema.parse(JSON.parse(new TextDecoder().decode(stored.bytes)))).toEqual(prior);
  expect(await fitPrior({ storeUrl, run: 'colours', clusters: 2, seed: 4 })).toEqual(prior);
});

it('names what it cannot be fitted for', async () => {
  const attempt = (name: string, clusters = 1) => fitPrior({ storeUrl, run: name, clusters, seed: 0 });
  await expect(attempt('plain')).rejects.toThrow('"blur" without "discrete"');
  await expect(attempt('hot')).rejects.toThrow('needs no prior');
  await expect(attempt('colours', 41)).rejects.toThrow('clusters: 41 cannot be fitted to 40 images');
  await expect(attempt('absent')).rejects.toMatchObject({ code: 'THAW_RUN_NOT_FOUND' });
});
