import { mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ObjectStore } from '@thaw/shared/storage';
import { planEpoch, readsOf, sampleOrder } from '../lanes.js';
import { leasesFor, trainSchedule } from '../leases.js';
import type { DatasetManifest } from '../manifest.js';
import { numberOf, packNumbered } from '../pack.fixture.js';
import { LeasedShards } from './leased-shards.js';
import type { LeasedShardsOptions } from './leased-shards.js';
import { ShardCache } from './shard-cache.js';

const order = { seed: 5, laneCount: 4, microBatch: 3 };
const coded = (code: string) => expect.objectContaining({ code }) as Error;

/** A store that hands out only the objects named, and remembers what was asked for. */
class DenyingStore {
  readonly asked: string[] = [];
  readonly allowed = new Set<string>();
  readonly store: ObjectStore;

  constructor(inner: ObjectStore) {
    this.store = new Proxy(inner, {
      get: (target, name) => {
        const method = Reflect.get(target, name) as (...args: unknown[]) => unknown;
        return (key: string, ...rest: unknown[]) => {
          this.asked.push(key);
          if (!this.allowed.has(key)) throw new Error(`denied: ${key}`);
          return method.call(target, key, ...rest);
        };
      },
    });
  }
}

let store: ObjectStore;
let manifest: DatasetManifest;
let folder: string;
beforeEach(async () => {
  ({ store, manifest } = await packNumbered(127, 10)); // 13 shards, 10 steps an epoch
  folder = await mkdtemp(join(tmpdir(), 'thaw-cache-'));
});
afterEach(async () => {
  await Promise.all(opened.splice(0).map((shards) => shards.close()));
  await rm(folder, { recursive: true });
});

const leases = (lanes: readonly number[], { fromStep = 0, generation = 1, epochsAhead = 1 } = {}) =>
  leasesFor({ manifest, order, lanes, fromStep, generation, epochsAhead });
const opened: LeasedShards[] = [];
const open = (options: Partial<LeasedShardsOptions> = {}) => {
  const shards = new LeasedShards({ store, manifest, seed: order.seed, microBatch: order.microBatch, ...options });
  opened.push(shards);
  return shards;
};
it('takes leases of its own set only, and reads partners in their own order', async () => {
  const own = leases([0]);
  const others = leasesFor({ manifest, order: { ...order, of: 'partners' }, lanes: [0], fromStep: 0, generation: 1 });
  const [images, partners] = [open(), open({ of: 'partners' })];
  for (const shards of [images, partners]) shards.grant(1, [...own, ...others]);
  const [a, b] = [await images.read(0, 3), await partners.read(0, 3)];
  expect(a.reads).not.toEqual(b.reads);
  expect(b.images).not.toEqual(a.images);
  partners.grant(2, leases([0], { generation: 2 }));
  expect([partners.holds(0, 3), partners.generation]).toEqual([false, 2]);
});

const numbersOf = (images: Uint8Array): number[] =>
  Array.from({ length: images.length / 4 }, (_, row) => numberOf(images, row));
const shardOf = (lane: number, step: number) =>
  manifest.splits.train.shards[
    readsOf(planEpoch({ ...trainSchedule(manifest, order), epoch: 0 }), 3, lane, step)[0]!.shard
  ]!;

describe('LeasedShards', () => {
  it('reads what the schedule says, in order, with labels; every sample once an epoch', async () => {
    const shards = open();
    shards.grant(1, leases([0, 1, 2, 3]));
    const starts = manifest.splits.train.shards.map((_, i) => i * 10);
    for (let epoch = 0; epoch < 2; epoch++) {
      const plan = planEpoch({ ...trainSchedule(manifest, order), epoch });
      const seen: number[] = [];
      for (let step = 0; step < 10; step++)
        for (let lane = 0; lane < 4; lane++) {
          const { images, labels, epoch: readEpoch } = await shards.read(lane, epoch * 10 + step);
          const want = readsOf(plan, 3, lane, step).flatMap(({ shard, offset, count }) =>
            [...sampleOrder(order.seed, epoch, shard, manifest.splits.train.shards[shard]!.count)]
              .slice(offset, offset + count)
              .map((row) => starts[shard]! + row),
          );
          expect(numbersOf(images)).toEqual(want);
          expect([...labels!]).toEqual(want);
          expect(readEpoch).toBe(epoch);
          seen.push(...want);
        }
      expect(new Set(seen).size).toBe(120);
    }
  });

  it('opens only leased shards: on a store that denies the others it reads all its steps', async () => {
    const denying = new DenyingStore(store);
    const held = leases([1], { epochsAhead: 0 });
    for (const { reads } of held) for (const { shard } of reads) denying.allowed.add(shard);
    expect(denying.allowed.size).toBeLessThan(manifest.splits.train.shards.length);
    const shards = open({ store: denying.store });
    shards.grant(1, held);
    for (let step = 0; step < 10; step++) await shards.read(1, step);
    await shards.idle();
    expect(denying.asked.filter((key) => !denying.allowed.has(key))).toEqual([]);
    expect(new Set(denying.asked).size).toBe(denying.asked.length);
  });

  it('refuses a read outside its leases without touching the store', async () => {
    const denying = new DenyingStore(store);
    const shards = open({ store: denying.store });
    const denied = coded('THAW_DATA_NOT_LEASED');
    await expect(shards.read(0, 0)).rejects.toThrow(denied);
    shards.grant(1, leases([1], { fromStep: 3, epochsAhead: 0 }));
    for (const [lane, step] of [
      [0, 3],
      [1, 2],
      [1, 10],
      [9, 3],
      [-1, 3],
      [1, NaN],
    ] as const)
      await expect(shards.read(lane, step)).rejects.toThrow(denied);
    shards.revokeBefore(2);
    await expect(shards.read(1, 3)).rejects.toThrow(denied);
    expect(shards.grant(1, leases([1]))).toBe(false);
    expect(denying.asked).toEqual([]);
  });

  it('refuses leases that name shards or digests the data set does not have', async () => {
    const [lease] = leases([0], { epochsAhead: 0 });
    const change = (edit: (read: { shard: string; sha256: string; offset: number; count: number }) => object) => [
      { ...lease!, reads: lease!.reads.map((read) => ({ ...read, ...edit(read) })) },
    ];
    for (const forged of [change(() => ({ shard: 'runs/secret' })), change(() => ({ sha256: '0'.repeat(64) }))]) {
      const shards = open();
      shards.grant(1, forged);
      await expect(shards.read(0, 0)).rejects.toThrow(coded('THAW_DATA_CORRUPT'));
    }
    // Also when the shard is open already.
    const warm = open();
    warm.grant(1, [lease!]);
    await warm.read(0, 0);
    warm.grant(
      2,
      change(() => ({ sha256: '0'.repeat(64) })).map((forged) => ({ ...forged, generation: 2 })),
    );
    await expect(warm.read(0, 0)).rejects.toThrow(coded('THAW_DATA_CORRUPT'));
    const beyond = open();
    beyond.grant(
      1,
      change(({ offset }) => ({ offset: offset + 1000 })),
    );
    await expect(beyond.read(0, 0)).rejects.toThrow(coded('THAW_DATA_NOT_LEASED'));
  });

  it('refuses a shard that is missing or does not match, and reads it once it is repaired', async () => {
    const { key } = shardOf(0, 0);
    const { bytes } = (await store.get(key))!;
    const shards = open({ cache: await ShardCache.open({ folder, maxBytes: 1e6 }) });
    shards.grant(1, leases([0]));
    await store.put(
      key,
      bytes.map((byte, i) => (i === bytes.length - 1 ? byte ^ 1 : byte)),
    );
    await expect(shards.read(0, 0)).rejects.toThrow(coded('THAW_DATA_CORRUPT'));
    expect(await readdir(folder)).toEqual([]); // nothing unverified is kept
    await store.delete(key);
    await expect(shards.read(0, 0)).rejects.toThrow(coded('THAW_DATA_CORRUPT'));
    await store.put(key, bytes);
    expect((await shards.read(0, 0)).images).toHaveLength(12);
  });

  it('fetches the next shard ahead of need', async () => {
    const denying = new DenyingStore(store);
    for (const { key } of manifest.splits.train.shards) denying.allowed.add(key);
    const shards = open({ store: denying.store });
    shards.grant(1, leases([2]));
    const { reads } = await shards.read(2, 0);
    await shards.idle();
    const next = leases([2])[0]!.reads.find(({ shard }) => !reads.some((read) => read.shard === shard))!;
    expect(denying.asked).toContain(next.shard);
    // The epoch's last read looks into the next epoch's lease.
    denying.asked.length = 0;
    await shards.read(2, 9);
    await shards.idle();
    expect(denying.asked).toContain(leases([2])[1]!.reads[0]!.shard);
  });

  it('reads nothing ahead once it is closed', async () => {
    const denying = new DenyingStore(store);
    for (const { key } of manifest.splits.train.shards) denying.allowed.add(key);
    const shards = open({ store: denying.store });
    shards.grant(1, leases([2]));
    await shards.read(2, 0);
    await shards.close();
    denying.asked.length = 0;
    const { reads } = await shards.read(2, 0);
    await shards.idle();
    expect(denying.asked).toEqual(reads.map(({ shard }) => shard));
  });

  it('keeps little in memory and goes to the disk cache instead of the store', async () => {
    const denying = new DenyingStore(store);
    for (const { key } of manifest.splits.train.shards) denying.allowed.add(key);
    const cache = await ShardCache.open({ folder, maxBytes: 1e6 });
    const shards = open({ store: denying.store, cache, memoryBytes: 1 });
    shards.grant(1, leases([0, 1, 2, 3], { epochsAhead: 2 }));
    const read: number[][] = [];
    for (let step = 0; step < 30; step++)
      for (let lane = 0; lane < 4; lane++) read.push(numbersOf((await shards.read(lane, step)).images));
    await shards.idle();
    const perShard = new Map<string, number>();
    for (const key of denying.asked) perShard.set(key, (perShard.get(key) ?? 0) + 1);
    expect([...perShard.values()].every((times) => times === 1)).toBe(true);
    const roomy = open();
    roomy.grant(1, leases([0, 1, 2, 3], { epochsAhead: 2 }));
    const again: number[][] = [];
    for (let step = 0; step < 30; step++)
      for (let lane = 0; lane < 4; lane++) again.push(numbersOf((await roomy.read(lane, step)).images));
    expect(again).toEqual(read);
  });

  it('fetches a damaged cache entry again', async () => {
    const shard = shardOf(0, 0);
    const fresh = async () => {
      const shards = open({ cache: await ShardCache.open({ folder, maxBytes: 1e6 }) });
      shards.grant(1, leases([0]));
      return shards;
    };
    const before = (await (await fresh()).read(0, 0)).images;
    const path = join(folder, shard.sha256);
    const whole = await readFile(path);
    for (const damaged of [whole.subarray(0, 10), Buffer.alloc(whole.length), Buffer.alloc(0)]) {
      await writeFile(path, damaged);
      expect((await (await fresh()).read(0, 0)).images).toEqual(before);
      expect(await readFile(path)).toEqual(whole);
    }
  });

  it('goes on without a cache that cannot be written', async () => {
    const cache = await ShardCache.open({ folder: join(folder, 'gone'), maxBytes: 1e6 });
    await rm(join(folder, 'gone'), { recursive: true });
    const shards = open({ cache });
    shards.grant(1, leases([0]));
    expect((await shards.read(0, 0)).images).toHaveLength(12);
  });
});

describe('ShardCache', () => {
  const digests: string[] = [];
  const bytesOf = (i: number) => new Uint8Array(100).fill(i);
  beforeEach(async () => {
    const { sha256Hex } = await import('../manifest.js');
    digests.splice(0, Infinity, ...[0, 1, 2, 3].map((i) => sha256Hex(bytesOf(i))));
  });

  it('stays within its limit, the least recently used leaving first', async () => {
    const cache = await ShardCache.open({ folder, maxBytes: 300 });
    for (const i of [0, 1, 2]) {
      await cache.put(digests[i]!, bytesOf(i));
      await utimes(join(folder, digests[i]!), 1000 + i, 1000 + i);
    }
    expect(await cache.get(digests[0]!)).toEqual(Buffer.from(bytesOf(0))); // now the most recent
    await cache.put(digests[3]!, bytesOf(3));
    expect((await readdir(folder)).sort()).toEqual([digests[0]!, digests[2]!, digests[3]!].sort());
    expect(await cache.get(digests[1]!)).toBeUndefined();
    await cache.put(digests[1]!, new Uint8Array(301)); // larger than all room: not kept, nothing evicted
    expect((await readdir(folder)).length).toBe(3);
  });

  it('removes what dead writers left, and nothing else', async () => {
    await writeFile(join(folder, `${'0'.repeat(64)}.abc.tmp`), 'x');
    await utimes(join(folder, `${'0'.repeat(64)}.abc.tmp`), 1000, 1000);
    await writeFile(join(folder, `${'1'.repeat(64)}.def.tmp`), 'x'); // of a writer that may be alive
    await writeFile(join(folder, 'notes.txt'), 'x');
    await ShardCache.open({ folder, maxBytes: 300 });
    expect((await readdir(folder)).sort()).toEqual([`${'1'.repeat(64)}.def.tmp`, 'notes.txt']);
  });

  it('is shared: two writers of one shard, one whole entry, no temporary files', async () => {
    const caches = await Promise.all([1, 2].map(() => ShardCache.open({ folder, maxBytes: 300 })));
    await Promise.all(caches.flatMap((cache) => [0, 1].map((i) => cache.put(digests[i]!, bytesOf(i)))));
    expect((await readdir(folder)).sort()).toEqual([digests[0]!, digests[1]!].sort());
    expect((await stat(join(folder, digests[0]!))).size).toBe(100);
    await expect(caches[0]!.get('../../etc/passwd')).rejects.toThrow(RangeError);
  });
});
