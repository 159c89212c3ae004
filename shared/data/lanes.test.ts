import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { epochOfStep, planEpoch, readsOf, sampleOrder, sliceSegments, stepsPerEpoch } from './lanes.js';
import type { LaneSchedule } from './lanes.js';

/** Schedules that hold at least one global batch. */
const schedules: fc.Arbitrary<LaneSchedule> = fc
  .record({
    seed: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    shardCounts: fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 12 }),
    laneCount: fc.integer({ min: 1, max: 6 }),
    microBatch: fc.integer({ min: 1, max: 5 }),
  })
  .filter(
    ({ shardCounts, laneCount, microBatch }) =>
      shardCounts.reduce((sum, count) => sum + count, 0) >= laneCount * microBatch,
  );
const epochs = fc.integer({ min: 0, max: 1000 });

const totalOf = (schedule: LaneSchedule): number => schedule.shardCounts.reduce((sum, count) => sum + count, 0);

/** Stored indices "shard/row" that a lane reads at every step of an epoch. */
function samplesOf(schedule: LaneSchedule, epoch: number): string[][][] {
  const plan = planEpoch({ ...schedule, epoch });
  const orders = schedule.shardCounts.map((count, shard) => sampleOrder(schedule.seed, epoch, shard, count));
  return plan.lanes.map((_, lane) =>
    Array.from({ length: plan.stepsPerEpoch }, (_, step) =>
      readsOf(plan, schedule.microBatch, lane, step).flatMap(({ shard, offset, count }) =>
        Array.from(orders[shard]!.subarray(offset, offset + count), (row) => `${shard}/${row}`),
      ),
    ),
  );
}

describe('lanes', () => {
  it('read every sample at most once an epoch, and all but the remainder', () => {
    fc.assert(
      fc.property(schedules, epochs, (schedule, epoch) => {
        const samples = samplesOf(schedule, epoch).flat(2);
        const { remainder, stepsPerEpoch } = planEpoch({ ...schedule, epoch });
        expect(new Set(samples).size).toBe(samples.length);
        expect(samples.length).toBe(stepsPerEpoch * schedule.laneCount * schedule.microBatch);
        expect(samples.length + remainder).toBe(totalOf(schedule));
        expect(remainder).toBeLessThan(schedule.laneCount * schedule.microBatch);
        for (const sample of samples) {
          const [shard, row] = sample.split('/').map(Number) as [number, number];
          expect(row).toBeLessThan(schedule.shardCounts[shard]!);
        }
      }),
    );
  });

  it('give every lane a whole micro-batch at every step, all lanes equally long', () => {
    fc.assert(
      fc.property(schedules, epochs, (schedule, epoch) => {
        for (const lane of samplesOf(schedule, epoch))
          for (const batch of lane) expect(batch).toHaveLength(schedule.microBatch);
      }),
    );
  });

  it('walk through few shards, each range in order and only once', () => {
    fc.assert(
      fc.property(schedules, epochs, (schedule, epoch) => {
        const { lanes } = planEpoch({ ...schedule, epoch });
        // M - 1 cuts through the concatenation: at most that many shards are shared by lanes.
        expect(lanes.flat().length).toBeLessThanOrEqual(schedule.shardCounts.length + schedule.laneCount - 1);
        for (const segments of lanes) {
          expect(new Set(segments.map(({ shard }) => shard)).size).toBe(segments.length);
          // Only the first and the last shard of a lane may be read in part.
          for (const { shard, offset, count } of segments.slice(1, -1))
            expect([offset, count]).toEqual([0, schedule.shardCounts[shard]]);
        }
      }),
    );
  });

  it('leave other samples out in other epochs', () => {
    const schedule: LaneSchedule = { seed: 3, shardCounts: [30, 30, 30, 17], laneCount: 4, microBatch: 5 };
    const all = new Set(
      schedule.shardCounts.flatMap((count, shard) => Array.from({ length: count }, (_, row) => `${shard}/${row}`)),
    );
    const leftOut = [0, 1, 2, 3].map((epoch) => {
      const read = new Set(samplesOf(schedule, epoch).flat(2));
      return [...all].filter((sample) => !read.has(sample)).sort();
    });
    expect(leftOut.map((samples) => samples.length)).toEqual([7, 7, 7, 7]);
    expect(new Set(leftOut.map(String)).size).toBe(4);
  });

  it('depend on seed, epoch and shard, and on nothing else', () => {
    const schedule: LaneSchedule = { seed: 1, shardCounts: [20, 20, 20], laneCount: 2, microBatch: 3 };
    const order = (change: Partial<LaneSchedule>, epoch = 0) => samplesOf({ ...schedule, ...change }, epoch).join('|');
    expect(order({})).toBe(order({}));
    expect(new Set([order({}), order({ seed: 2 }), order({}, 1)]).size).toBe(3);
    const shardOrder = (seed: number, epoch: number) =>
      planEpoch({ ...schedule, shardCounts: Array<number>(30).fill(1), microBatch: 1, laneCount: 1, seed, epoch })
        .lanes[0]!.map(({ shard }) => shard)
        .join();
    expect(new Set([shardOrder(1, 0), shardOrder(1, 1), shardOrder(2, 0)]).size).toBe(3);
    expect(sampleOrder(1, 0, 0, 20)).not.toEqual(sampleOrder(1, 0, 1, 20));
    // The concatenation does not depend on the lanes: with other lanes the same samples stand in the same order.
    const joined = (change: Partial<LaneSchedule>) =>
      samplesOf({ ...schedule, ...change }, 5)
        .flat(2)
        .slice(0, 54)
        .join();
    expect(joined({ laneCount: 1, microBatch: 6 })).toBe(joined({ laneCount: 3, microBatch: 2 }));
  });

  it('put step k of the run into its epoch', () => {
    fc.assert(
      fc.property(schedules, fc.nat(100_000), (schedule, step) => {
        const { epoch, stepInEpoch } = epochOfStep(schedule, step);
        expect(epoch * stepsPerEpoch(schedule) + stepInEpoch).toBe(step);
        expect(stepInEpoch).toBeLessThan(stepsPerEpoch(schedule));
      }),
    );
  });

  it('refuse a data set smaller than one global batch', () => {
    expect(() => stepsPerEpoch({ shardCounts: [7], laneCount: 2, microBatch: 4 })).toThrow(
      expect.objectContaining({ code: 'THAW_DATA_INVALID' }),
    );
    expect(() => stepsPerEpoch({ shardCounts: [7], laneCount: 0, microBatch: 4 })).toThrow(RangeError);
  });

  it('have a known order: changing it would change every stored run', () => {
    expect(
      planEpoch({ seed: 7, epoch: 1, shardCounts: [5, 6, 7, 8, 9, 4], laneCount: 2, microBatch: 4 }),
    ).toMatchSnapshot();
    expect([...sampleOrder(7, 2, 1, 10)]).toMatchSnapshot();
  });
});

describe('sliceSegments', () => {
  it('takes exactly the asked samples', () => {
    const segments = fc.array(
      fc.record({ shard: fc.nat(9), offset: fc.nat(50), count: fc.integer({ min: 1, max: 9 }) }),
      { maxLength: 8 },
    );
    const expand = (list: readonly { shard: number; offset: number; count: number }[]) =>
      list.flatMap(({ shard, offset, count }) => Array.from({ length: count }, (_, i) => `${shard}/${offset + i}`));
    fc.assert(
      fc.property(segments, fc.nat(60), fc.nat(60), (list, skip, take) => {
        expect(expand(sliceSegments(list, skip, take))).toEqual(expand(list).slice(skip, skip + take));
      }),
    );
  });
});
