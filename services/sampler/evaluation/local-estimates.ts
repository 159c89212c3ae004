/** Estimates computed in this process, without a cluster. */
import { severitySequence, type SamplingAlgorithm } from '@thaw/shared/diffusion';
import { meanSquare, type Estimate, type EstimateSource, type StateError } from '@thaw/shared/evaluation';
import type { ModelSource, RestorationModel, TestImages } from '../ports.js';
import { advance, beginTrajectory, isFinished, severityOf, stepRow } from '../trajectory/index.js';

export interface EstimatesRequest {
  readonly run: string;
  readonly step: number;
  readonly split: string;
  readonly sampler: SamplingAlgorithm;
  /** Network calls; one per severity unless given. */
  readonly calls?: number;
  /** Of the random choices of degradations. */
  readonly seed: number;
}

/** @throws ThawError THAW_CHECKPOINT_NOT_FOUND, THAW_DATASET_NOT_FOUND, THAW_SAMPLING_INVALID, THAW_DATA_INVALID */
export async function localEstimates(
  models: ModelSource,
  testImages: TestImages,
  { run, step, split, sampler, calls, seed }: EstimatesRequest,
): Promise<EstimateSource> {
  const version = await models.versionOf(run, step);
  const model = await models.load(version);
  model.checkSampler?.(sampler);
  const severities = sampler === 'direct' ? [model.steps] : severitySequence(model.steps, calls);
  const { dataset, family, shape } = model;
  return {
    origin: {
      run,
      step,
      manifestSha256: version.manifestSha256,
      dataset,
      split,
      family,
      sampler,
      severities,
      seed,
    },
    shape,
    available: await testImages.count(dataset, split),
    blockSize: model.batchSizes.at(-1)!,
    async estimates(images) {
      const originals = await Promise.all(images.map((image) => testImages.image(dataset, split, image, shape)));
      return restoreAll(model, originals, images, { sampler, severities, seed });
    },
  };
}

/** One call's images, degraded to T and restored in step. */
async function restoreAll(
  model: RestorationModel,
  originals: readonly Float32Array[],
  images: readonly number[],
  { sampler, severities, seed }: { sampler: SamplingAlgorithm; severities: readonly number[]; seed: number },
): Promise<Estimate[]> {
  const contexts = await Promise.all(images.map((image) => model.drawContext(seed, image)));
  const degraded = await model.degrade(
    originals.map((x0, i) => ({ x0, severity: model.steps, context: contexts[i]! })),
  );
  const errors = images.map((): StateError[] => []);
  let trajectories = degraded.map((start, i) => beginTrajectory(sampler, severities, start, contexts[i]!));
  let firstUpdates: Float32Array[] | undefined;
  let lastEstimates: Float32Array[] = [];
  while (!isFinished(trajectories[0]!)) {
    const outputs = await model.step(trajectories.map(stepRow));
    lastEstimates = outputs.map(({ estimate }) => estimate);
    trajectories = trajectories.map((trajectory, i) => {
      const estimate = lastEstimates[i]!;
      errors[i]!.push({
        severity: severityOf(trajectory),
        state: meanSquare(trajectory.x, originals[i]!),
        estimate: meanSquare(estimate, originals[i]!),
      });
      return advance(trajectory, outputs[i]!);
    });
    firstUpdates ??= trajectories.map(({ x }) => x);
  }
  return trajectories.map(({ x, direct }, i) => ({
    original: originals[i]!,
    degraded: degraded[i]!,
    direct: direct!,
    sampled: x,
    firstUpdate: severities.length > 1 ? firstUpdates?.[i] : undefined,
    lastEstimate: lastEstimates[i]!,
    errors: errors[i]!,
  }));
}
