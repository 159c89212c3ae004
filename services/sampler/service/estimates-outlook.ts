/** What an evaluation by samplers asks first: which checkpoint, which images, how many at once, and with which bits. */
import { parseFields, NameSchema, SamplingAlgorithmSchema, ThawError, type ModelVersion } from '@thaw/shared/protocol';
import { z } from 'zod';
import { estimatesOutlook, type EstimatesOutlook } from '../evaluation/index.js';
import type { ModelSource, TestImages } from '../ports.js';

export const OutlookRequestSchema = z.strictObject({
  run: NameSchema.optional(),
  step: z.int().min(0).optional(),
  split: z.enum(['test', 'train']).default('test'),
  sampler: SamplingAlgorithmSchema.default('algorithm2'),
  calls: z.int().min(1).optional(),
  seed: z
    .int()
    .min(0)
    .max(2 ** 32 - 1)
    .default(0),
});
export type OutlookRequest = z.output<typeof OutlookRequestSchema>;

export interface ClusterOutlook extends EstimatesOutlook {
  /** Samplers that are heard: so many blocks are worth asking for at once. */
  readonly samplers: number;
}

/** @throws ThawError THAW_JOB_INVALID naming every bad field */
export const parseOutlookRequest = (query: unknown): OutlookRequest =>
  parseFields(OutlookRequestSchema, query, 'THAW_JOB_INVALID', 'query');

export interface OutlookParts {
  readonly models: ModelSource;
  readonly testImages: TestImages;
  /** Run that is meant when none is named. */
  usualRun(): string | undefined;
  samplers(): number;
}

/** @throws ThawError THAW_MODEL_NOT_READY, THAW_CHECKPOINT_NOT_FOUND, THAW_SAMPLING_INVALID, THAW_DATASET_NOT_FOUND */
export async function clusterOutlook(parts: OutlookParts, request: OutlookRequest): Promise<ClusterOutlook> {
  const { models, testImages, usualRun, samplers } = parts;
  const run = request.run ?? usualRun();
  if (run === undefined)
    throw new ThawError('THAW_MODEL_NOT_READY', 'No run was named, and no model has been loaded yet.', {
      details: { retryAfterSeconds: 2 },
    });
  const model = await models.load(await versionOf(models, run, request.step));
  return { ...(await estimatesOutlook(model, testImages, request)), samplers: samplers() };
}

async function versionOf(models: ModelSource, run: string, step: number | undefined): Promise<ModelVersion> {
  if (step !== undefined) return models.versionOf(run, step);
  const newest = await models.newestOf(run);
  if (newest === undefined) throw new ThawError('THAW_CHECKPOINT_NOT_FOUND', `Run ${run} has no checkpoint yet.`);
  return newest;
}
