/** `thaw evaluate`: scores of a checkpoint with intervals, curves and pictures; images are restored here or by the samplers of a cluster. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { SamplingAlgorithm } from '@thaw/shared/diffusion';
import { openEngine, type Engine } from '@thaw/shared/engine';
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
  type EstimateSource,
  type Evaluation,
  type EvaluationReport,
} from '@thaw/shared/evaluation';
import { ThawError, type EngineName } from '@thaw/shared/protocol';
import { createLogger, systemClock, systemEntropy } from '@thaw/shared/runtime';
import { newestCheckpoint, openStore, type ObjectStore } from '@thaw/shared/storage';
import { CheckpointModels, datasetImages, localEstimates } from '@thaw/sampler';
import type { ApiTarget } from '../cluster/api.js';
import { clusterEstimates, estimateDoor } from '../cluster/estimates/index.js';
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
  readonly engine: EngineName;
  /** Images in a network call, without a cluster. */
  readonly batch: number;
  /** Samplers that restore the images, as they are known now; this process does unless given. */
  readonly samplers?: () => readonly ApiTarget[];
  readonly convention: ConventionName;
  readonly degraded?: Convention['degraded'];
  readonly sampled?: Convention['sampled'];
  readonly firstImage?: number;
  /** Folder of report.json, report.md and report.html. */
  readonly out?: string;
}

export interface EvaluatedCheckpoint {
  readonly report: EvaluationReport;
  readonly text: string;
  readonly files: readonly string[];
}

/** @throws ThawError THAW_CHECKPOINT_NOT_FOUND, THAW_USAGE_INVALID, and what sources, features and `evaluate` throw */
export async function evaluateCheckpoint(options: EvaluateOptions): Promise<EvaluatedCheckpoint> {
  const named = namedCheckpoint(options);
  return options.samplers === undefined
    ? evaluateHere(options, named)
    : evaluateOnSamplers(options, named, options.samplers);
}

async function evaluateHere(options: EvaluateOptions, named: NamedCheckpoint): Promise<EvaluatedCheckpoint> {
  const { split, sampler, calls, seed } = options;
  const store = await openStore(options.storeUrl);
  const { run } = named;
  if (run === undefined)
    throw new ThawError('THAW_USAGE_INVALID', 'Which run is meant was not said.', {
      cure: 'Give --run <name>, or --checkpoint <run>/<step>.',
    });
  const step = named.step ?? (await newestCheckpoint(store, run))?.manifest.step;
  if (step === undefined) throw new ThawError('THAW_CHECKPOINT_NOT_FOUND', `Run ${run} has no checkpoint yet.`);
  const engine = await openEngine({ kind: options.engine, workers: 1 });
  const logger = createLogger({ service: 'evaluate', level: 'error' });
  const models = new CheckpointModels({ store, engine, batchSizes: [options.batch], keepVersions: 1, logger });
  try {
    const source = await localEstimates(models, datasetImages(store), { run, step, split, sampler, calls, seed });
    return await evaluateSource(source, options, async () => ({ store, engine }));
  } finally {
    await models.close();
    await engine.close();
  }
}

async function evaluateOnSamplers(
  options: EvaluateOptions,
  { run, step }: NamedCheckpoint,
  samplers: () => readonly ApiTarget[],
): Promise<EvaluatedCheckpoint> {
  const { split, sampler, calls, seed } = options;
  const stop = new AbortController();
  const stopped = new ThawError('THAW_ENGINE_ABORTED', 'The evaluation was stopped, and its blocks given up.');
  const parts = { clock: systemClock, entropy: systemEntropy, signal: stop.signal };
  const door = estimateDoor(samplers, stop.signal);
  const source = await clusterEstimates({ ...parts, door }, { run, step, split, sampler, calls, seed });
  const interrupt = (): void => stop.abort(stopped);
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.once(signal, interrupt);
  let engine: Engine | undefined;
  const classifier = async (): Promise<{ store: ObjectStore; engine: Engine }> => {
    engine = await openEngine({ kind: options.engine, workers: 1 });
    return { store: await openStore(options.storeUrl), engine };
  };
  try {
    return await evaluateSource(source, options, classifier);
  } finally {
    await source.close();
    await engine?.close();
    for (const signal of signals) process.off(signal, interrupt);
  }
}

/** @param classifier store and engine of a classifier of ours, if that is what the Frechet distance is taken on */
async function evaluateSource(
  source: EstimateSource,
  options: EvaluateOptions,
  classifier: () => Promise<{ store: ObjectStore; engine: Engine }>,
): Promise<EvaluatedCheckpoint> {
  const { count, seed } = options;
  const metrics = parseMetrics(options.metrics);
  const { dataset, family, severities } = source.origin;
  const folder = options.out === undefined ? undefined : makeFolder(options.out); // before the work
  const features = asksForFrechet(metrics) ? await openFeatures(classifier, dataset, source.shape, options) : undefined;
  const convention = conventionOf(options, family, severities.length);
  const progress = createProgress();
  try {
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
  }
}

interface NamedCheckpoint {
  readonly run?: string | undefined;
  /** The newest unless given. */
  readonly step?: number | undefined;
}

/** `<step>` or `<run>/<step>`. */
function namedCheckpoint({ run, checkpoint, metrics }: EvaluateOptions): NamedCheckpoint {
  parseMetrics(metrics); // before anything is opened
  if (checkpoint === undefined) return { run };
  const named = /^(?:(?<run>.+)\/)?(?<step>\d{1,12})$/.exec(checkpoint)?.groups;
  if (named === undefined)
    throw new ThawError('THAW_USAGE_INVALID', `--checkpoint: "${checkpoint}" is neither <step> nor <run>/<step>.`);
  const name = named['run'] ?? run;
  if (run !== undefined && name !== run)
    throw new ThawError('THAW_USAGE_INVALID', `--run says ${run}, --checkpoint says ${name}.`, {
      cure: 'Give --run <name>, or --checkpoint <run>/<step>.',
    });
  return { run: name, step: Number(named['step']) };
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
