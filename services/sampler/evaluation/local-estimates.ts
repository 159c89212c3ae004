/** Estimates computed in this process, without a cluster. */
import type { SamplingAlgorithm } from '@thaw/shared/diffusion';
import type { Estimate, EstimateOrigin, EstimateSource } from '@thaw/shared/evaluation';
import { evaluatedSeverities } from '../jobs/index.js';
import type { ModelSource, RestorationModel, TestImages } from '../ports.js';
import { advance, beginTrajectory, isFinished, stepRow } from '../trajectory/index.js';
import { estimateBlock } from './estimate-block.js';
import { EstimateRecorder } from './estimate-recorder.js';

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

/** What is known of estimates before any is computed. */
export type EstimatesOutlook = Pick<EstimateSource, 'origin' | 'shape' | 'available' | 'blockSize'>;

/** @throws ThawError THAW_SAMPLING_INVALID, THAW_DATASET_NOT_FOUND, THAW_DATA_INVALID */
export async function estimatesOutlook(
  model: RestorationModel,
  testImages: TestImages,
  { split, sampler, calls, seed }: Pick<EstimatesRequest, 'split' | 'sampler' | 'calls' | 'seed'>,
): Promise<EstimatesOutlook> {
  const { version, dataset, family, shape, steps, batchSizes } = model;
  model.checkSampler?.(sampler);
  const severities = evaluatedSeverities(sampler, steps, calls);
  const { run, step, manifestSha256 } = version;
  const { sha256: fingerprint } = await model.fingerprint();
  const origin: EstimateOrigin = {
    ...{ run, step, manifestSha256, fingerprint },
    ...{ dataset, split, family, sampler, severities, seed },
  };
  const available = await testImages.count(dataset, split);
  return { origin, shape, available, blockSize: estimateBlock(shape, batchSizes.at(-1)!) };
}

/** @throws ThawError THAW_CHECKPOINT_NOT_FOUND, THAW_DATASET_NOT_FOUND, THAW_SAMPLING_INVALID, THAW_DATA_INVALID */
export async function localEstimates(
  models: ModelSource,
  testImages: TestImages,
  request: EstimatesRequest,
): Promise<EstimateSource> {
  const model = await models.load(await models.versionOf(request.run, request.step));
  const outlook = await estimatesOutlook(model, testImages, request);
  const plan = { ...outlook.origin, sampler: request.sampler };
  const calls = model.batchSizes.at(-1)!;
  return {
    ...outlook,
    async estimates(images) {
      const estimates: Estimate[] = [];
      for (let first = 0; first < images.length; first += calls)
        estimates.push(...(await restoreAll(model, testImages, plan, images.slice(first, first + calls))));
      return estimates;
    },
  };
}

/** One call's images, degraded to T and restored in step. */
async function restoreAll(
  model: RestorationModel,
  testImages: TestImages,
  { dataset, split, sampler, severities, seed }: EstimateOrigin & { readonly sampler: SamplingAlgorithm },
  images: readonly number[],
): Promise<Estimate[]> {
  const originals = await Promise.all(images.map((image) => testImages.image(dataset, split, image, model.shape)));
  const contexts = await Promise.all(images.map((image) => model.drawContext(seed, image)));
  const degraded = await model.degrade(
    originals.map((x0, i) => ({ x0, severity: model.steps, context: contexts[i]! })),
  );
  const recorders = originals.map((original, i) => new EstimateRecorder(original, degraded[i]!));
  let trajectories = degraded.map((start, i) => beginTrajectory(sampler, severities, start, contexts[i]!));
  while (!isFinished(trajectories[0]!)) {
    const outputs = await model.step(trajectories.map(stepRow));
    trajectories = trajectories.map((trajectory, i) => {
      recorders[i]!.called(trajectory, outputs[i]!);
      return advance(trajectory, outputs[i]!);
    });
  }
  return trajectories.map((end, i) => recorders[i]!.estimate(end));
}
