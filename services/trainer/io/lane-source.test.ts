import { augmentBytes, LeasedShards, leaseWindow, loadRunSets, packDataset, type ImageSource } from '@thaw/shared/data';
import { RunConfigSchema } from '@thaw/shared/protocol';
import { MemoryStore } from '@thaw/shared/storage';
import { beforeAll, expect, it } from 'vitest';
import { LaneSource } from './lane-source.js';

const run = RunConfigSchema.parse({
  format: 'thaw.run/1',
  name: 'faces',
  seed: 9,
  data: { dataset: 'faces', size: 8, channels: 3, augment: 'random-aug' },
  degradation: { family: 'animorphosis', steps: 4, partners: 'animals' },
  network: { kind: 'convnext-unet', dim: 8, mults: [1] },
  optimizer: { learningRate: 0.001 },
  batch: { global: 4, micro: 2 },
  steps: 10,
});

const store = new MemoryStore();
const source = (name: string, shift: number): ImageSource => ({
  identity: name,
  count: 12,
  async *items(from) {
    for (let i = from; i < 12; i++) {
      const pixels = Uint8Array.from({ length: 12 * 12 * 3 }, (_, k) => shift + 9 * i + (k % 7));
      yield { kind: 'image', name: `${i}`, width: 12, height: 12, channels: 3, pixels };
    }
  },
});
beforeAll(async () => {
  for (const [name, shift] of [['faces', 0] as const, ['animals', 120] as const])
    await packDataset(store, { train: source(name, shift) }, { name, preprocessing: { method: 'none' } });
});

it('waits for leases of both sets, and cuts images and partners by draws of their own', async () => {
  const { own, partners } = await loadRunSets(store, run);
  const open = (set: typeof own) =>
    new LeasedShards({ store, manifest: set.manifest, seed: run.seed, of: set.order.of, microBatch: 2 });
  const lanes = new LaneSource(open(own), run, open(partners!));
  const never = new AbortController().signal;
  const { leases } = leaseWindow([own, partners!], [0, 1], 0, 3);
  let read = false;
  const reading = lanes.read(1, 2, never).then((images) => {
    read = true;
    return images;
  });
  lanes.hold(leases.filter((lease) => lease.of === undefined));
  await Promise.resolve();
  expect(read).toBe(false);
  lanes.hold(leases);
  const { images, partners: pictures } = await reading;

  const expected = async (set: typeof own, purpose: 'augment' | 'partner-augment'): Promise<Uint8Array> => {
    const shards = open(set);
    shards.grant(3, leases);
    const { images: stored } = await shards.read(1, 2);
    return augmentBytes({
      images: stored,
      shape: [12, 12, 3],
      size: 8,
      flip: false,
      method: 'random-aug',
      purpose,
      seed: 9,
      step: 2,
      lane: 1,
    });
  };
  expect(images).toEqual(await expected(own, 'augment'));
  expect(pictures).toEqual(await expected(partners!, 'partner-augment'));
  expect(images).toHaveLength(2 * 8 * 8 * 3);
  await lanes.close();
});

it('gives up waiting when the lane is cancelled', async () => {
  const { own } = await loadRunSets(store, run);
  const lanes = new LaneSource(new LeasedShards({ store, manifest: own.manifest, seed: run.seed, microBatch: 2 }), run);
  const abort = new AbortController();
  const reading = lanes.read(0, 0, abort.signal);
  abort.abort(new Error('cancelled'));
  await expect(reading).rejects.toThrow('cancelled');
  await lanes.close();
});
