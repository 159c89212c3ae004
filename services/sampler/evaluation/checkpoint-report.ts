/** Evaluates a checkpoint in this process, without a cluster. */
import { severitySequence, type SamplingAlgorithm } from '@thaw/shared/diffusion';
import { ThawError } from '@thaw/shared/protocol';
import type { ModelSource, RestorationModel, TestImages } from '../ports.js';
import { advance, beginTrajectory, isFinished, severityOf, stepRow, type Trajectory } from '../trajectory/index.js';
import { ReportBoard, type EvaluatedImage, type EvaluationReport, type ReportMetric } from './report.js';

export interface ReportRequest {
  readonly run: string;
  readonly step: number;
  readonly split: string;
  readonly count: number;
  readonly metrics: readonly ReportMetric[];
  readonly sampler: SamplingAlgorithm;
  /** Network calls; one per severity unless given. */
  readonly calls?: number;
  /** Of the random choices of degradations, and of the bootstrap. */
  readonly seed: number;
}

/**
 * @param onProgress images done
 * @throws ThawError THAW_CHECKPOINT_NOT_FOUND, THAW_DATASET_NOT_FOUND, THAW_SAMPLING_INVALID, THAW_REQUEST_INVALID
 */
export async function reportCheckpoint(
  models: ModelSource,
  testImages: TestImages,
  request: ReportRequest,
  onProgress: (done: number) => void = () => undefined,
): Promise<EvaluationReport> {
  const { run, step, split, count, sampler, calls, seed } = request;
  const version = await models.versionOf(run, step);
  const model = await models.load(version);
  model.checkSampler?.(sampler);
  const severities = sampler === 'direct' ? [model.steps] : severitySequence(model.steps, calls);
  const available = await testImages.count(model.dataset, split);
  if (count > available)
    throw new ThawError(
      'THAW_REQUEST_INVALID',
      `count: ${count} images were asked for; the split ${split} of ${model.dataset} has ${available}.`,
    );
  const board = new ReportBoard({ shape: model.shape, metrics: request.metrics, seed });
  const batch = model.batchSizes.at(-1)!;
  for (let first = 0; first < count; first += batch) {
    const rows = Array.from({ length: Math.min(batch, count - first) }, (_, i) => first + i);
    const originals = await Promise.all(rows.map((row) => testImages.image(model.dataset, split, row, model.shape)));
    for (const image of await restoreAll(model, originals, rows, { sampler, severities, seed })) board.add(image);
    onProgress(first + rows.length);
  }
  return {
    format: 'thaw.evaluation-report/1',
    run,
    step,
    manifestSha256: version.manifestSha256,
    dataset: model.dataset,
    split,
    count,
    sampler,
    severities,
    seed,
    ...board.scores(),
  };
}

/** One batch of test images, degraded to T and restored in step. */
async function restoreAll(
  model: RestorationModel,
  originals: readonly Float32Array[],
  rows: readonly number[],
  { sampler, severities, seed }: { sampler: SamplingAlgorithm; severities: readonly number[]; seed: number },
): Promise<EvaluatedImage[]> {
  const contexts = await Promise.all(rows.map((row) => model.drawContext(seed, row)));
  const degraded = await model.degrade(
    originals.map((x0, i) => ({ x0, severity: model.steps, context: contexts[i]! })),
  );
  let trajectories = degraded.map((start, i) => beginTrajectory(sampler, severities, start, contexts[i]!));
  const states = rows.map((): { severity: number; x: Float32Array; estimate: Float32Array }[] => []);
  while (!isFinished(trajectories[0]!)) {
    const outputs = await model.step(trajectories.map(stepRow));
    trajectories = trajectories.map((trajectory: Trajectory, i) => {
      const { estimate } = outputs[i]!;
      states[i]!.push({ severity: severityOf(trajectory), x: trajectory.x, estimate });
      return advance(trajectory, outputs[i]!);
    });
  }
  return trajectories.map(({ x, direct }, i) => ({
    original: originals[i]!,
    degraded: degraded[i]!,
    direct: direct!,
    sampled: x,
    states: states[i]!,
  }));
}
