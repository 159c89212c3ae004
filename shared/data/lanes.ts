/**
 * Which sample is read by which lane at which step: a pure function of seed and shard sizes, never of the trainers.
 *
 * Epoch e: the shards are permuted by (seed, e), the samples of each shard by (seed, e, shard); concatenated they are cut
 * into M equal contiguous lanes. Lane m reads its k-th micro-batch at step k of the epoch. What does not fill a global
 * batch stands at the end of the concatenation and is left out: other samples in every epoch.
 */
import { ThawError } from '@thaw/shared/protocol';
import { permutation, RandomStream } from '@thaw/shared/runtime';

/** What the order depends on. */
export interface LaneSchedule {
  /** The run's seed. */
  readonly seed: number;
  /** Pictures that images are mixed with are ordered by draws of their own. */
  readonly of?: 'partners' | undefined;
  /** Samples of each shard of the train split, in the manifest's order. */
  readonly shardCounts: readonly number[];
  /** M, lanes of a step. */
  readonly laneCount: number;
  /** Samples a lane reads a step. */
  readonly microBatch: number;
}

/** Positions `offset .. offset + count - 1` of the permuted order of the shard with index `shard`. */
export interface Segment {
  readonly shard: number;
  readonly offset: number;
  readonly count: number;
}

export interface EpochPlan {
  readonly epoch: number;
  readonly stepsPerEpoch: number;
  /** Samples left out in this epoch. */
  readonly remainder: number;
  /** For each lane what it reads, in order. */
  readonly lanes: readonly (readonly Segment[])[];
}

/** Steps of an epoch; the same in every epoch. @throws ThawError THAW_DATA_INVALID when the data set has not one global batch. */
export function stepsPerEpoch(schedule: Pick<LaneSchedule, 'shardCounts' | 'laneCount' | 'microBatch'>): number {
  const { shardCounts, laneCount, microBatch } = schedule;
  for (const [what, value] of [
    ['lanes', laneCount],
    ['samples of a micro-batch', microBatch],
  ] as const)
    if (!Number.isInteger(value) || value < 1)
      throw new RangeError(`The number of ${what} is ${value}; it must be at least 1.`);
  const total = shardCounts.reduce((sum, count) => sum + count, 0);
  const steps = Math.floor(total / (laneCount * microBatch));
  if (steps === 0)
    throw new ThawError(
      'THAW_DATA_INVALID',
      `The data set has ${total} samples, fewer than one global batch of ${laneCount * microBatch}.`,
      {
        cure: 'Use a smaller global batch or more data.',
      },
    );
  return steps;
}

/** Epoch of a step (both from 0) and the step's number within it. */
export function epochOfStep(schedule: LaneSchedule, step: number): { epoch: number; stepInEpoch: number } {
  const steps = stepsPerEpoch(schedule);
  const epoch = Math.floor(step / steps);
  return { epoch, stepInEpoch: step - epoch * steps };
}

/** What every lane reads in an epoch. Costs time proportional to shards + lanes, not samples. */
export function planEpoch(schedule: LaneSchedule & { readonly epoch: number }): EpochPlan {
  const { seed, of, epoch, shardCounts, laneCount, microBatch } = schedule;
  const purpose = of === 'partners' ? 'partner-shard-order' : 'shard-order';
  const steps = stepsPerEpoch(schedule);
  const laneLength = steps * microBatch;
  const lanes: Segment[][] = Array.from({ length: laneCount }, () => []);
  let lane = 0;
  let room = laneLength;
  let position = 0;
  for (const shard of permutation(shardCounts.length, new RandomStream(seed, purpose, epoch))) {
    const size = shardCounts[shard]!;
    for (let offset = 0; offset < size && lane < laneCount;) {
      const count = Math.min(size - offset, room);
      lanes[lane]!.push({ shard, offset, count });
      offset += count;
      room -= count;
      if (room === 0) {
        lane++;
        room = laneLength;
      }
    }
    position += size;
  }
  return { epoch, stepsPerEpoch: steps, remainder: position - laneCount * laneLength, lanes };
}

/** The part of `segments` that stands `skip .. skip + take - 1` samples from its beginning. */
export function sliceSegments<S extends { offset: number; count: number }>(
  segments: readonly S[],
  skip: number,
  take: number,
): S[] {
  const out: S[] = [];
  let at = 0;
  for (const segment of segments) {
    const from = Math.max(skip, at);
    const to = Math.min(skip + take, at + segment.count);
    if (from < to) out.push({ ...segment, offset: segment.offset + (from - at), count: to - from });
    at += segment.count;
    if (at >= skip + take) break;
  }
  return out;
}

/** What `lane` reads at step `stepInEpoch` of the planned epoch: one micro-batch. */
export function readsOf(plan: EpochPlan, microBatch: number, lane: number, stepInEpoch: number): Segment[] {
  return sliceSegments(plan.lanes[lane]!, stepInEpoch * microBatch, microBatch);
}

/** Order of a shard in an epoch: position in the permuted order -> row of the shard's `images` tensor. */
export function sampleOrder(
  seed: number,
  epoch: number,
  shard: number,
  count: number,
  of?: LaneSchedule['of'],
): Uint32Array {
  const purpose = of === 'partners' ? 'partner-sample-order' : 'sample-order';
  return permutation(count, new RandomStream(seed, purpose, epoch, shard));
}
