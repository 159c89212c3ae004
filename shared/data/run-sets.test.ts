import { RunConfigSchema, type RunConfig } from '@thaw/shared/protocol';
import { MemoryStore } from '@thaw/shared/storage';
import { beforeAll, expect, it } from 'vitest';
import type { ImageSource } from './image-source.js';
import { packDataset } from './packing.js';
import { bindRunSets, loadRunSets } from './run-sets.js';

const runOf = (dataset: string, degradation: object = { family: 'noise', steps: 2 }, data = {}): RunConfig =>
  RunConfigSchema.parse({
    format: 'thaw.run/1',
    name: 'faces',
    seed: 4,
    data: { dataset, size: 8, channels: 3, ...data },
    degradation,
    network: { kind: 'convnext-unet', dim: 8, mults: [1] },
    optimizer: { learningRate: 0.001 },
    batch: { global: 4, micro: 2 },
    steps: 1,
  });
const source = (edge: number, channels: 1 | 3): ImageSource => ({
  identity: `${edge} ${channels}`,
  count: 4,
  async *items() {
    const pixels = new Uint8Array(edge * edge * channels);
    for (let i = 0; i < 4; i++) yield { kind: 'image', name: `${i}`, width: edge, height: edge, channels, pixels };
  },
});

const store = new MemoryStore();
beforeAll(async () => {
  for (const [name, edge, channels] of [
    ['colour', 10, 3] as const,
    ['grey', 10, 1] as const,
    ['stamps', 6, 3] as const,
  ])
    await packDataset(store, { train: source(edge, channels) }, { name, preprocessing: { method: 'none' } });
});
const refusal = (run: RunConfig): Promise<string> =>
  loadRunSets(store, run).then(
    () => 'taken',
    (error: { code: string; message: string }) => `${error.code}: ${error.message}`,
  );

it('are one set, or two for animorphosis, with the order of each', async () => {
  expect(await loadRunSets(store, runOf('colour'))).toMatchObject({
    own: { manifest: { name: 'colour' }, order: { seed: 4, laneCount: 2, microBatch: 2 } },
  });
  const { own, partners } = await loadRunSets(
    store,
    runOf('colour', { family: 'animorphosis', steps: 2, partners: 'colour' }),
  );
  expect([own.order.of, partners!.order.of]).toEqual([undefined, 'partners']);
});

it('are refused, with the field and what is allowed, when they do not fit the run', async () => {
  expect(await refusal(runOf('grey'))).toBe(
    'THAW_DATA_INVALID: data.dataset: the images of "grey" are grey (1 channel), data.channels asks for 3.',
  );
  expect(await refusal(runOf('colour', undefined, { channels: 1 }))).toContain('are coloured (3 channels)');
  expect(await refusal(runOf('stamps'))).toContain('are 6 x 6, squares of data.size 8 cannot be cut');
  const animorphosis = (partners: string) => runOf('colour', { family: 'animorphosis', steps: 2, partners });
  expect(await refusal(animorphosis('grey'))).toContain('degradation.partners: the images of "grey"');
  expect(await refusal(animorphosis('absent'))).toContain('THAW_DATASET_NOT_FOUND');
  expect(await refusal(runOf('colour'))).toBe('taken');
});

it('stay those that the run began with', async () => {
  const run = { ...runOf('colour', { family: 'animorphosis', steps: 2, partners: 'small' }), name: 'bound' };
  await packDataset(store, { train: source(8, 3) }, { name: 'small', preprocessing: { method: 'none' } });
  const began = await loadRunSets(store, run);
  await bindRunSets(store, run, began);
  await bindRunSets(store, run, await loadRunSets(store, run));

  await store.delete('datasets/small/manifest.json');
  await packDataset(store, { train: source(12, 3) }, { name: 'small', preprocessing: { method: 'none' } });
  const later = await loadRunSets(store, run);
  await expect(bindRunSets(store, run, later)).rejects.toMatchObject({
    code: 'THAW_DATASET_CHANGED',
    message: `Run "bound" began with the images ${began.partners!.manifest.contentSha256} of data set "small"; those in the store now are ${later.partners!.manifest.contentSha256}.`,
  });
  await bindRunSets(store, { name: 'another' }, later);

  await store.put('runs/bound/datasets.json', new TextEncoder().encode('{"small": '));
  await expect(bindRunSets(store, run, began)).rejects.toMatchObject({ code: 'THAW_DATA_CORRUPT' });
});
