import { describe, expect, it } from 'vitest';
import { MemoryStore } from '@thaw/shared/storage';
import type { ObjectStore } from '@thaw/shared/storage';
import type { ImageSource } from './image-source.js';
import { inspectDataset, loadImages, loadMeanTrain, verifyDataset } from './inspection.js';
import { decodeManifest, loadManifest, manifestKey, shardKey } from './manifest.js';
import { numberedSource, numberOf, packNumbered } from './pack.fixture.js';
import { packDataset } from './packing.js';
import type { PackProgress } from './packing.js';

const options = { name: 'numbered', preprocessing: { method: 'none' }, shardBytes: 40 } as const; // 10 images of 4 bytes
const coded = (code: string) => expect.objectContaining({ code }) as Error;

/** Every object but the journal, as text. */
async function contents(store: ObjectStore): Promise<Record<string, string>> {
  const out: Record<string, string> = {};
  for await (const { key } of store.list(''))
    if (!key.endsWith('packing.json')) out[key] = Buffer.from((await store.get(key))!.bytes).toString('hex');
  return out;
}

/** A source that dies when item `at` is asked for. */
const dying = (source: ImageSource, at: number): ImageSource => ({
  ...source,
  async *items(from) {
    let i = from;
    for await (const item of source.items(from)) {
      if (i++ === at) throw new Error('killed');
      yield item;
    }
  },
});

describe('packDataset', () => {
  it('writes shards, mean and manifest', async () => {
    const store = new MemoryStore();
    const progress: PackProgress[] = [];
    const sources = { train: numberedSource(300), test: numberedSource(25) };
    const { manifest } = await packDataset(store, sources, {
      ...options,
      onProgress: (report) => progress.push(report),
    });
    expect(manifest).toMatchObject({
      format: 'thaw.dataset/1',
      name: 'numbered',
      imageShape: [2, 2, 1],
      quarantined: [],
    });
    expect(manifest.splits.train.shards.map(({ count }) => count)).toEqual(Array(30).fill(10));
    expect(manifest.splits.test!.shards.map(({ key, count }) => [key, count])).toEqual(
      [0, 1, 2].map((i) => [shardKey('numbered', 'test', i), i < 2 ? 10 : 5]),
    );
    expect(await loadManifest(store, 'numbered')).toEqual(manifest);
    expect(await verifyDataset(store, 'numbered')).toEqual({ ok: true, checkedShards: 33, problems: [] });
    const mean = Array.from({ length: 300 }, (_, i) => i & 255).reduce((sum, value) => sum + value, 0) / 300;
    expect([...(await loadMeanTrain(store, manifest))]).toEqual([
      Math.fround(44 / 300),
      ...Array(3).fill(Math.fround(mean)),
    ]);
    expect(progress.at(-1)).toEqual({ split: 'test', done: 25, total: 25, quarantined: 0, shards: 3 });
    const { images, labels } = await loadImages(store, manifest, 'train', 255, 20);
    expect(Array.from({ length: 20 }, (_, row) => numberOf(images, row))).toEqual(
      Array.from({ length: 20 }, (_, i) => 255 + i),
    );
    expect([...labels!]).toEqual(Array.from({ length: 20 }, (_, i) => 255 + i));
    expect(
      (await inspectDataset(store, 'numbered')).splits.map(({ name, images, shards }) => [name, images, shards]),
    ).toEqual([
      ['train', 300, 30],
      ['test', 25, 3],
    ]);
  });

  it('gives the same bytes again, and says when all is there', async () => {
    const [a, b] = [new MemoryStore(), new MemoryStore()];
    await packDataset(a, { train: numberedSource(55) }, options);
    await packDataset(b, { train: numberedSource(55) }, options);
    expect(await contents(b)).toEqual(await contents(a));
    const source = numberedSource(55);
    expect(await packDataset(a, { train: source }, options)).toMatchObject({ alreadyPacked: true });
    expect(source.opened).toEqual([]);
  });

  it('names content by what it is, not by its name', async () => {
    const digest = async (name: string, count: number) =>
      (await packDataset(new MemoryStore(), { train: numberedSource(count) }, { ...options, name })).manifest
        .contentSha256;
    expect(await digest('a', 55)).toBe(await digest('b', 55));
    expect(await digest('a', 55)).not.toBe(await digest('a', 56));
  });

  it('goes on where it was interrupted, wherever that was, to the same bytes', async () => {
    const bad = [3, 19, 20, 21];
    const whole = new MemoryStore();
    await packDataset(whole, { train: numberedSource(45, { bad }) }, { ...options, maxBadShare: 0.5 });
    for (const at of [0, 9, 10, 11, 22, 44]) {
      const store = new MemoryStore();
      await expect(
        packDataset(store, { train: dying(numberedSource(45, { bad }), at) }, { ...options, maxBadShare: 0.5 }),
      ).rejects.toThrow('killed');
      expect(await store.head(manifestKey('numbered'))).toBeUndefined();
      const source = numberedSource(45, { bad });
      const { resumedShards } = await packDataset(store, { train: source }, { ...options, maxBadShare: 0.5 });
      expect(await contents(store)).toEqual(await contents(whole));
      expect(resumedShards).toBe(source.opened[0] === 0 ? 0 : resumedShards);
      expect(source.opened[0]! <= at).toBe(true);
      if (at >= 22) expect(resumedShards).toBeGreaterThan(0);
    }
  });

  it('does not trust what an interrupted packing left', async () => {
    const store = new MemoryStore();
    await expect(packDataset(store, { train: dying(numberedSource(45), 40) }, options)).rejects.toThrow('killed');
    await store.put(shardKey('numbered', 'train', 1), new Uint8Array(100));
    expect(await packDataset(store, { train: numberedSource(45) }, options)).toMatchObject({ resumedShards: 1 });
    expect((await verifyDataset(store, 'numbered')).ok).toBe(true);
    // Another source: nothing of it is used.
    const other = new MemoryStore();
    await expect(packDataset(other, { train: dying(numberedSource(45), 40) }, options)).rejects.toThrow('killed');
    expect(await packDataset(other, { train: numberedSource(46) }, options)).toMatchObject({ resumedShards: 0 });
    await store.put('datasets/torn/packing.json', Uint8Array.of(123));
    expect(await packDataset(store, { train: numberedSource(45) }, { ...options, name: 'torn' })).toMatchObject({
      resumedShards: 0,
    });
  });

  it('never changes a packed data set', async () => {
    const { store } = await packNumbered(55, 10);
    const before = await contents(store);
    await expect(packDataset(store, { train: numberedSource(56) }, options)).rejects.toThrow(
      coded('THAW_DATA_INVALID'),
    );
    await expect(packDataset(store, { train: numberedSource(55) }, { ...options, shardBytes: 80 })).rejects.toThrow(
      coded('THAW_DATA_INVALID'),
    );
    expect(await contents(store)).toEqual(before);
  });

  it('puts bad images in quarantine by name, counts them, and stops when they are too many', async () => {
    const train = numberedSource(100, { bad: [7, 50] });
    const { manifest } = await packDataset(new MemoryStore(), { train }, options);
    expect(manifest.splits.train).toMatchObject({ count: 98, quarantined: 2 });
    expect(manifest.quarantined).toEqual([7, 50].map((i) => ({ split: 'train', name: `image ${i}`, reason: 'torn' })));
    const store = new MemoryStore();
    await expect(packDataset(store, { train }, { ...options, maxBadShare: 0.01 })).rejects.toThrow('image 7: torn');
    expect(await store.head(manifestKey('numbered'))).toBeUndefined();
    await expect(packDataset(store, { train: numberedSource(1, { bad: [0] }) }, options)).rejects.toThrow(
      'no usable image',
    );
  });

  it('refuses bad options, images of two sizes and splits that differ, before a manifest is written', async () => {
    const store = new MemoryStore();
    const train = numberedSource(20);
    const mixed: ImageSource = {
      ...train,
      async *items(from) {
        yield* train.items(from);
        yield* numberedSource(1, { edge: 3 }).items(0);
      },
    };
    const invalid = coded('THAW_DATA_INVALID');
    await expect(packDataset(store, { train: mixed }, options)).rejects.toThrow(invalid);
    await expect(packDataset(store, { train, test: numberedSource(20, { edge: 3 }) }, options)).rejects.toThrow(
      invalid,
    );
    await expect(packDataset(store, { train }, { ...options, shardBytes: 0 })).rejects.toThrow(invalid);
    await expect(packDataset(store, { train }, { ...options, name: '../evil' })).rejects.toThrow(invalid);
    expect(await store.head(manifestKey('numbered'))).toBeUndefined();
  });
});

describe('reading a packed data set', () => {
  it('says what is missing or damaged', async () => {
    const { store, manifest } = await packNumbered(30, 10);
    await store.put(shardKey('numbered', 'train', 0), (await store.get(shardKey('numbered', 'train', 1)))!.bytes);
    await store.delete(shardKey('numbered', 'train', 2));
    const { ok, problems } = await verifyDataset(store, 'numbered');
    expect([ok, problems.length]).toEqual([false, 2]);
    await expect(loadImages(store, manifest, 'train', 5, 1)).rejects.toThrow(coded('THAW_DATA_CORRUPT'));
    await expect(loadImages(store, manifest, 'train', 25, 1)).rejects.toThrow(coded('THAW_DATA_CORRUPT'));
    await expect(loadImages(store, manifest, 'train', 25, 6)).rejects.toThrow(coded('THAW_DATA_INVALID'));
    await expect(loadImages(store, manifest, 'test', 0, 1)).rejects.toThrow(coded('THAW_DATA_INVALID'));
    await expect(loadManifest(store, 'nothing')).rejects.toThrow(coded('THAW_DATASET_NOT_FOUND'));
    await expect(loadManifest(store, '../x')).rejects.toThrow(coded('THAW_CONFIG_INVALID'));
  });

  it('refuses a manifest that was changed or torn', async () => {
    const { store, manifest } = await packNumbered(30, 10);
    const { bytes } = (await store.get(manifestKey('numbered')))!;
    const text = new TextDecoder().decode(bytes);
    const shard = manifest.splits.train.shards[0]!;
    const corrupt = coded('THAW_DATA_CORRUPT');
    for (const changed of [
      text.slice(0, -5),
      text.replace(shard.sha256, '0'.repeat(64)),
      text.replace('"count": 10', '"count": 11'),
      text.replace('dataset/1', 'dataset/9'),
      '[]',
      '',
    ])
      expect(() => decodeManifest(new TextEncoder().encode(changed), 'm')).toThrow(corrupt);
    expect(decodeManifest(bytes, 'm')).toEqual(manifest);
  });
});
