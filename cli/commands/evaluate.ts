/** `thaw evaluate`: scores of a checkpoint with intervals, curves and pictures, computed in this process. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { SamplingAlgorithm } from '@thaw/shared/diffusion';
import { openEngine, type EngineKind } from '@thaw/shared/engine';
import {
  asksForFrechet,
  evaluate,
  officialConvention,
  parseMetrics,
  plainConvention,
  reportMarkdown,
  reportPage,
  type Convention,
  type ConventionName,
  type Evaluation,
  type EvaluationReport,
} from '@thaw/shared/evaluation';
import { ThawError } from '@thaw/shared/protocol';
import { createLogger } from '@thaw/shared/runtime';
import { newestCheckpoint, openStore, type ObjectStore } from '@thaw/shared/storage';
import { CheckpointModels, datasetImages, localEstimates } from '@thaw/sampler';
import { makeFolder } from '../terminal/output-files.js';
import { createProgress } from '../terminal/progress.js';
import { openFeatures, type FeaturesChoice } from './features.js';

export interface EvaluateOptions extends FeaturesChoice {
  readonly storeUrl: string;
  /** Absent: named with the checkpoint. */
  readonly run?: string;
  /** `<step>` or `<run>/<step>`; the newest unless given. */
  readonly checkpoint?: string;
  readonly split: string;
  /** All unless given. */
  readonly count?: number;
  /** Names, separated by commas. */
  readonly metrics: string;
  readonly sampler: SamplingAlgorithm;
  readonly calls?: number;
  readonly seed: number;
  readonly engine: string;
  readonly batch: number;
  readonly convention: ConventionName;
  readonly degraded?: Convention['degraded'];
  readonly sampled?: Convention['sampled'];
  readonly firstImage?: number;
  /** Folder of report.json, report.md and report.html. */
  readonly out?: string;
}

/** @throws ThawError THAW_CHECKPOINT_NOT_FOUND, THAW_USAGE_INVALID, and what sources, features and `evaluate` throw */
export async function evaluateCheckpoint(
  options: EvaluateOptions,
): Promise<{ report: EvaluationReport; text: string; files: string[] }> {
  const { split, sampler, calls, seed, count } = options;
  const metrics = parseMetrics(options.metrics);
  const store = await openStore(options.storeUrl);
  const { run, step } = await checkpointOf(store, options);
  const folder = options.out === undefined ? undefined : makeFolder(options.out);
  const engine = await openEngine({ kind: options.engine as EngineKind | 'auto', workers: 1 });
  const logger = createLogger({ service: 'evaluate', level: 'error' });
  const models = new CheckpointModels({ store, engine, batchSizes: [options.batch], keepVersions: 1, logger });
  const progress = createProgress();
  try {
    const source = await localEstimates(models, datasetImages(store), { run, step, split, sampler, calls, seed });
    const features = asksForFrechet(metrics)
      ? await openFeatures(store, engine, source.origin.dataset, source.shape, options)
      : undefined;
    const convention = conventionOf(options, source.origin.family, source.origin.severities.length);
    const evaluation = await evaluate(source, { count, metrics, convention, features, seed }, (done, total) =>
      progress.update({ done, total, text: `${done} of ${total} images` }),
    );
    return {
      report: evaluation.report,
      text: reportMarkdown(evaluation.report),
      files: folder === undefined ? [] : writeReport(folder, evaluation, source.shape),
    };
  } finally {
    progress.end();
    await models.close();
    await engine.close();
  }
}

async function checkpointOf(
  store: ObjectStore,
  { run, checkpoint }: EvaluateOptions,
): Promise<{ run: string; step: number }> {
  const named = checkpoint === undefined ? undefined : /^(?:(?<run>.+)\/)?(?<step>\d{1,12})$/.exec(checkpoint)?.groups;
  if (checkpoint !== undefined && named === undefined)
    throw new ThawError('THAW_USAGE_INVALID', `--checkpoint: "${checkpoint}" is neither <step> nor <run>/<step>.`);
  const name = named?.['run'] ?? run;
  if (name === undefined || (run !== undefined && name !== run))
    throw new ThawError(
      'THAW_USAGE_INVALID',
      name === undefined ? 'Which run is meant was not said.' : `--run says ${run}, --checkpoint says ${name}.`,
      { cure: 'Give --run <name>, or --checkpoint <run>/<step>.' },
    );
  if (named !== undefined) return { run: name, step: Number(named['step']) };
  const newest = await newestCheckpoint(store, name);
  if (newest === undefined) throw new ThawError('THAW_CHECKPOINT_NOT_FOUND', `Run ${name} has no checkpoint yet.`);
  return { run: name, step: newest.manifest.step };
}

function conventionOf(
  { convention, degraded, sampled, firstImage }: EvaluateOptions,
  family: string,
  calls: number,
): Convention {
  const base = convention === 'official' ? officialConvention(family, calls) : plainConvention;
  return {
    degraded: degraded ?? base.degraded,
    sampled: sampled ?? base.sampled,
    firstImage: firstImage ?? base.firstImage,
  };
}

function writeReport(
  folder: string,
  { report, pictures }: Evaluation,
  shape: { height: number; width: number; channels: number },
): string[] {
  const files = {
    'report.json': `${JSON.stringify(report, undefined, 1)}\n`,
    'report.md': reportMarkdown(report),
    'report.html': reportPage(report, pictures, shape),
  };
  return Object.entries(files).map(([name, content]) => {
    const file = join(folder, name);
    writeFileSync(file, content);
    return file;
  });
}
