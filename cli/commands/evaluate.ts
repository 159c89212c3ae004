/** `thaw evaluate`: scores of a checkpoint with intervals and curves, computed in this process. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { SamplingAlgorithm } from '@thaw/shared/diffusion';
import { openEngine, type EngineKind } from '@thaw/shared/engine';
import { ThawError } from '@thaw/shared/protocol';
import { createLogger } from '@thaw/shared/runtime';
import { newestCheckpoint, openStore } from '@thaw/shared/storage';
import {
  CheckpointModels,
  datasetImages,
  parseMetrics,
  reportCheckpoint,
  reportMarkdown,
  type EvaluationReport,
} from '@thaw/sampler';
import { createProgress } from '../terminal/progress.js';

export interface EvaluateOptions {
  readonly storeUrl: string;
  readonly run: string;
  /** The newest checkpoint unless given. */
  readonly step?: number;
  readonly split: string;
  readonly count: number;
  /** Names, separated by commas. */
  readonly metrics: string;
  readonly sampler: SamplingAlgorithm;
  readonly calls?: number;
  readonly seed: number;
  readonly engine: string;
  readonly batch: number;
  /** Path of the report without its extensions .json and .md. */
  readonly out?: string;
}

/** @throws ThawError THAW_CHECKPOINT_NOT_FOUND and what `reportCheckpoint` throws */
export async function evaluateCheckpoint(
  options: EvaluateOptions,
): Promise<{ report: EvaluationReport; text: string }> {
  const { storeUrl, run, split, count, sampler, calls, seed, out } = options;
  const metrics = parseMetrics(options.metrics);
  const store = await openStore(storeUrl);
  const step = options.step ?? (await newestCheckpoint(store, run))?.manifest.step;
  if (step === undefined) throw new ThawError('THAW_CHECKPOINT_NOT_FOUND', `Run ${run} has no checkpoint yet.`);
  const engine = await openEngine({ kind: options.engine as EngineKind | 'auto', workers: 1 });
  const progress = createProgress();
  try {
    const logger = createLogger({ service: 'evaluate', level: 'error' });
    const models = new CheckpointModels({ store, engine, batchSizes: [options.batch], keepVersions: 1, logger });
    const request = { run, step, split, count, metrics, sampler, calls, seed };
    const report = await reportCheckpoint(models, datasetImages(store), request, (done) =>
      progress.update({ done, total: count, text: `${done} of ${count} images` }),
    );
    const text = reportMarkdown(report);
    if (out !== undefined) {
      mkdirSync(dirname(out), { recursive: true });
      writeFileSync(`${out}.json`, `${JSON.stringify(report, undefined, 1)}\n`);
      writeFileSync(`${out}.md`, text);
    }
    return { report, text };
  } finally {
    progress.end();
    await engine.close();
  }
}
