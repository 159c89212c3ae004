import { beforeAll, describe, expect, it } from 'vitest';
import { decodeMessage, encodeMessage } from '@thaw/shared/protocol';
import { planEpoch, readsOf, sampleOrder } from './lanes.js';
import { LeaseBook } from './lease-book.js';
import { LeaseSchema } from './lease.js';
import type { Lease } from './lease.js';
import { leaseHorizon, leasesFor, leaseWindow, trainSchedule } from './leases.js';
import type { DatasetManifest } from './manifest.js';
import { packNumbered } from './pack.fixture.js';

const order = { seed: 11, laneCount: 3, microBatch: 4 };
let manifest: DatasetManifest;
beforeAll(async () => {
  ({ manifest } = await packNumbered(100, 15)); // 8 steps an epoch, 4 samples left out
});
const leases = (fromStep: number, generation = 1, lanes = [0, 1, 2]) =>
  leasesFor({ manifest, order, lanes, fromStep, generation });

describe('leasesFor', () => {
  it('gives the rest of the epoch and the next', () => {
    const ranges = leases(5).map(({ epoch, lane, firstStep, stepCount }) => [epoch, lane, firstStep, stepCount]);
    expect(ranges).toEqual([
      [0, 0, 5, 3],
      [0, 1, 5, 3],
      [0, 2, 5, 3],
      [1, 0, 8, 8],
      [1, 1, 8, 8],
      [1, 2, 8, 8],
    ]);
    expect(leases(8).map(({ epoch }) => epoch)).toEqual([1, 1, 1, 2, 2, 2]);
  });

  it('names what the lanes read, step by step, whenever it was given', () => {
    const shards = manifest.splits.train.shards;
    for (const fromStep of [0, 3, 7]) {
      const book = new LeaseBook(order.microBatch);
      book.grant(1, leases(fromStep));
      for (let step = fromStep; step < 16; step++) {
        const plan = planEpoch({ ...trainSchedule(manifest, order), epoch: Math.floor(step / 8) });
        for (let lane = 0; lane < 3; lane++) {
          const want = readsOf(plan, 4, lane, step % 8).map(({ shard, offset, count }) => ({
            shard: shards[shard]!.key,
            sha256: shards[shard]!.sha256,
            offset,
            count,
          }));
          expect(book.readsOf(lane, step)).toEqual({ epoch: Math.floor(step / 8), generation: 1, reads: want });
        }
      }
    }
  });

  it('survives the wire, and refuses lanes that do not exist', () => {
    for (const lease of leases(2)) expect(decodeMessage(LeaseSchema, encodeMessage(LeaseSchema, lease))).toEqual(lease);
    expect(() => leases(0, 1, [3])).toThrow('no lane 3');
  });
});

describe('leases of two data sets', () => {
  const others = { seed: 11, laneCount: 3, microBatch: 4, of: 'partners' } as const;
  let partners: DatasetManifest;
  beforeAll(async () => {
    ({ manifest: partners } = await packNumbered(40, 7)); // 3 steps an epoch
  });
  const sets = () => [
    { manifest, order },
    { manifest: partners, order: others },
  ];

  it('reach to the end of the following epoch of the set where that comes first, and cover every step until there', () => {
    for (let step = 0; step < 30; step++) {
      const { throughStep, leases: given } = leaseWindow(sets(), [0, 2], step, 4);
      expect(throughStep).toBe(Math.min((Math.floor(step / 8) + 2) * 8, (Math.floor(step / 3) + 2) * 3));
      expect(leaseHorizon(sets(), step)).toBe(throughStep);
      expect(throughStep).toBeGreaterThan(step + 3);
      for (const of of [undefined, 'partners'] as const) {
        const book = new LeaseBook(4);
        book.grant(
          4,
          given.filter((lease) => lease.of === of),
        );
        for (let at = step; at < throughStep; at++)
          expect([book.holds(0, at), book.holds(2, at)]).toEqual([true, true]);
      }
    }
  });

  it('name the set they are of, on the wire too, and order it by draws of its own', () => {
    const { leases: given } = leaseWindow(sets(), [1], 0, 1);
    for (const lease of given) expect(decodeMessage(LeaseSchema, encodeMessage(LeaseSchema, lease))).toEqual(lease);
    expect(given.map(({ of }) => of)).toEqual([undefined, undefined, 'partners', 'partners']);
    const same = leaseWindow([{ manifest, order: { ...order, of: 'partners' } }], [1], 0, 1).leases;
    expect(same[0]!.reads).not.toEqual(given[0]!.reads);
    expect(sampleOrder(11, 0, 0, 15, 'partners')).not.toEqual(sampleOrder(11, 0, 0, 15));
  });
});

describe('LeaseBook', () => {
  const denied = expect.objectContaining({ code: 'THAW_DATA_NOT_LEASED' }) as Error;
  const granted = (generation: number, list: readonly Lease[]) => {
    const book = new LeaseBook(order.microBatch);
    book.grant(generation, list);
    return book;
  };

  it('allows nothing but what is leased', () => {
    expect(() => new LeaseBook(4).readsOf(0, 0)).toThrow(denied);
    const book = granted(1, leases(2, 1, [0, 2]));
    expect(() => book.readsOf(0, 1)).toThrow(denied); // before the lease
    expect(() => book.readsOf(0, 16)).toThrow(denied); // after it
    expect(() => book.readsOf(1, 2)).toThrow(denied); // another lane
    expect([book.holds(0, 15), book.holds(0, 16), book.holds(1, 2)]).toEqual([true, false, false]);
    const { shard, sha256 } = book.readsOf(0, 2).reads[0]!;
    expect(() => book.assertShard(shard, sha256)).not.toThrow();
    expect(() =>
      book.assertShard(
        shard,
        sha256.replace(/^./, (digit) => (digit === '0' ? '1' : '0')),
      ),
    ).toThrow(denied);
    expect(() => book.assertShard('datasets/numbered/train-99999.safetensors', sha256)).toThrow(denied);
  });

  it('replaces leases by those of a newer generation and refuses those of an older one', () => {
    const book = granted(3, leases(0, 3, [0]));
    expect(book.grant(2, leases(0, 2, [1]))).toBe(false);
    expect([book.holds(0, 0), book.holds(1, 0)]).toEqual([true, false]);
    expect(book.grant(4, leases(0, 4, [1]))).toBe(true);
    expect([book.holds(0, 0), book.holds(1, 0), book.generation]).toEqual([false, true, 4]);
  });

  it('adds leases of the same generation; the same again changes nothing', () => {
    const book = granted(1, leases(0, 1, [0]));
    book.grant(1, leases(8, 1, [0]));
    expect([book.holds(0, 3), book.holds(0, 23), book.holds(0, 24)]).toEqual([true, true, false]);
    const before = book.leases.length;
    book.grant(1, leases(8, 1, [0]));
    expect(book.leases).toHaveLength(before);
    book.forgetBefore(8);
    expect([book.holds(0, 3), book.holds(0, 8)]).toEqual([false, true]);
  });

  it('is revoked when the plan changes, before new leases come', () => {
    const book = granted(1, leases(0));
    book.revokeBefore(1);
    expect(book.holds(0, 0)).toBe(true);
    book.revokeBefore(2);
    expect(() => book.readsOf(0, 0)).toThrow(denied);
    expect(book.grant(1, leases(0, 1))).toBe(false);
    expect(book.grant(2, leases(0, 2))).toBe(true);
  });

  it('refuses leases that contradict themselves', () => {
    const lease = leases(0)[0]!;
    const invalid = expect.objectContaining({ code: 'THAW_PROTOCOL_INVALID' }) as Error;
    expect(() => granted(1, [{ ...lease, stepCount: lease.stepCount + 1 }])).toThrow(invalid);
    expect(() => granted(1, [{ ...lease, reads: lease.reads.slice(1) }])).toThrow(invalid);
    expect(() => granted(2, [lease])).toThrow(invalid);
  });
});
