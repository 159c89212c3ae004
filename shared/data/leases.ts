/** Leases as a function of data set, run and plan; the coordinator hands them out. */
import type { Lease } from './lease.js';
import { epochOfStep, planEpoch, sliceSegments } from './lanes.js';
import type { EpochPlan, LaneSchedule } from './lanes.js';
import type { DatasetManifest, Shard } from './manifest.js';

/** The part of a run that orders its samples. */
export interface SampleOrder {
  readonly seed: number;
  readonly laneCount: number;
  readonly microBatch: number;
}

/** The schedule of the train split. */
export const trainSchedule = (manifest: DatasetManifest, order: SampleOrder): LaneSchedule => ({
  seed: order.seed,
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
      leases.push(leaseOfEpoch(plan, manifest.splits.train.shards, order.microBatch, lane, skip, generation));
  }
  return leases;
}

function leaseOfEpoch(
  plan: EpochPlan,
  shards: readonly Shard[],
  microBatch: number,
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
    reads,
  };
}
