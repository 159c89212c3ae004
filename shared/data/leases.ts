/** Leases as a function of data set, run and plan; the coordinator hands them out. */
import type { Lease } from './lease.js';
import { epochOfStep, planEpoch, sliceSegments, stepsPerEpoch } from './lanes.js';
import type { EpochPlan, LaneSchedule } from './lanes.js';
import type { DatasetManifest, Shard } from './manifest.js';

/** The part of a run that orders its samples. */
export interface SampleOrder {
  readonly seed: number;
  readonly laneCount: number;
  readonly microBatch: number;
  /** The samples are the pictures that the run's images are mixed with. */
  readonly of?: LaneSchedule['of'];
}

/** The schedule of the train split. */
export const trainSchedule = (manifest: DatasetManifest, order: SampleOrder): LaneSchedule => ({
  seed: order.seed,
  of: order.of,
  laneCount: order.laneCount,
  microBatch: order.microBatch,
  shardCounts: manifest.splits.train.shards.map((shard) => shard.count),
});

/**
 * Leases of `lanes` from `fromStep` on: the rest of its epoch and, ahead of need, `epochsAhead` whole epochs more (default
 * 1). One lease a lane and epoch.
 */
export function leasesFor(request: {
  readonly manifest: DatasetManifest;
  readonly order: SampleOrder;
  readonly lanes: readonly number[];
  readonly fromStep: number;
  readonly generation: number;
  readonly epochsAhead?: number;
}): Lease[] {
  const { manifest, order, lanes, fromStep, generation, epochsAhead = 1 } = request;
  for (const lane of lanes)
    if (!Number.isInteger(lane) || lane < 0 || lane >= order.laneCount)
      throw new RangeError(`There is no lane ${lane}; the run has ${order.laneCount}.`);
  const schedule = trainSchedule(manifest, order);
  const first = epochOfStep(schedule, fromStep);
  const leases: Lease[] = [];
  for (let epoch = first.epoch; epoch <= first.epoch + epochsAhead; epoch++) {
    const plan = planEpoch({ ...schedule, epoch });
    const skip = epoch === first.epoch ? first.stepInEpoch : 0;
    for (const lane of lanes)
      leases.push(leaseOfEpoch(plan, manifest.splits.train.shards, order, lane, skip, generation));
  }
  return leases;
}

function leaseOfEpoch(
  plan: EpochPlan,
  shards: readonly Shard[],
  { microBatch, of }: SampleOrder,
  lane: number,
  skipSteps: number,
  generation: number,
): Lease {
  const stepCount = plan.stepsPerEpoch - skipSteps;
  const reads = sliceSegments(plan.lanes[lane]!, skipSteps * microBatch, stepCount * microBatch).map(
    ({ shard, offset, count }) => {
      const { key, sha256 } = shards[shard]!;
      return { shard: key, sha256, offset, count };
    },
  );
  return {
    epoch: plan.epoch,
    lane,
    firstStep: plan.epoch * plan.stepsPerEpoch + skipSteps,
    stepCount,
    generation,
    ...(of === undefined ? {} : { of }),
    reads,
  };
}

/** A data set that a run reads, and in which order. */
export interface ReadSet {
  readonly manifest: DatasetManifest;
  readonly order: SampleOrder;
}

/** End (not included) of what {@link leaseWindow} gives from a step: the end of the following epoch of the set where that comes first. */
export const leaseHorizon = (sets: readonly ReadSet[], step: number): number =>
  Math.min(
    ...sets.map(({ manifest, order }) => {
      const steps = stepsPerEpoch(trainSchedule(manifest, order));
      return (Math.floor(step / steps) + 2) * steps;
    }),
  );

/** Leases of `lanes` on every set that the run reads, up to `throughStep` at least. */
export function leaseWindow(
  sets: readonly ReadSet[],
  lanes: readonly number[],
  fromStep: number,
  generation: number,
): { readonly throughStep: number; readonly leases: Lease[] } {
  const leases = sets.flatMap(({ manifest, order }) => leasesFor({ manifest, order, lanes, fromStep, generation }));
  return { throughStep: leaseHorizon(sets, fromStep), leases };
}
