/** `thaw sample` and `thaw restore`: jobs on the running cluster's samplers, results as PNG files. */
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { ThawError } from '@thaw/shared/protocol';
import type { JobStatus } from '@thaw/sampler';
import { anyOf, callBytes, callJson, type ApiTarget } from '../cluster/api.js';
import type { ClusterFile } from '../cluster/cluster-file.js';
import { makeFolder } from '../terminal/output-files.js';

/** What both jobs may say of the sampler. */
export interface SamplerOptions {
  readonly sampler?: string;
  /** Network calls; one for each severity unless given. */
  readonly calls?: number;
  /** Severity at which sampling starts, though the image is degraded further. */
  readonly sampleSteps?: number;
  /** Algorithm 1: new noise for every state. */
  readonly freshNoise?: boolean;
}
export interface SampleOptions extends SamplerOptions {
  readonly count: number;
  readonly seed: number;
  readonly out: string;
  readonly channel?: string;
  readonly version?: number;
  /** sample unless given. */
  readonly mode?: 'sample' | 'generate';
  /** Of the start of generation. */
  readonly noise?: number;
  /** SHA-256 of a prior that generation starts from, instead of the checkpoint's. */
  readonly prior?: string;
}

export interface Drawn {
  readonly job: string;
  readonly run: string;
  readonly version: number;
  readonly seed: number;
  /** SHA-256 of what generation started from. */
  readonly prior?: string;
  readonly testIndices: (number | undefined)[];
  readonly files: string[];
}

const samplersOf = (cluster: Pick<ClusterFile, 'samplers' | 'token'>): ApiTarget[] =>
  cluster.samplers.map(({ url }) => ({ url, token: cluster.token }));

async function finishJob(targets: readonly ApiTarget[], request: Record<string, unknown>): Promise<JobStatus> {
  let status = await anyOf(targets, (target) => callJson<JobStatus>(target, '/v1/jobs', { json: request }));
  while (status.state === 'running')
    status = await anyOf(targets, (target) =>
      callJson<JobStatus>(target, `/v1/jobs/${status.id}?waitMs=10000`, { timeoutMs: 30_000 }),
    );
  if (status.state !== 'done')
    throw new ThawError(
      'THAW_JOB_NOT_DONE',
      `The job ${status.id} is ${status.state}: ${status.message ?? 'no reason was given'}`,
    );
  return status;
}

/** Degrades held-out test images chosen by the seed, restores them, and writes `sample-<n>.png` into a folder. */
export async function drawSamples(
  cluster: Pick<ClusterFile, 'samplers' | 'token'>,
  options: SampleOptions,
): Promise<Drawn> {
  const { out, ...request } = options;
  const targets = samplersOf(cluster);
  const folder = makeFolder(out); // before the work
  const status = await finishJob(targets, { mode: 'sample', ...defined(request) });
  const files: string[] = [];
  for (const { row } of status.rows) {
    const file = join(folder, `sample-${row}.png`);
    writeFileSync(file, await anyOf(targets, (target) => callBytes(target, `/v1/jobs/${status.id}/images/${row}.png`)));
    files.push(file);
  }
  return {
    job: status.id,
    run: status.run,
    version: status.version,
    seed: status.seed,
    ...(status.prior === undefined ? {} : { prior: status.prior }),
    testIndices: status.rows.map(({ testIndex }) => testIndex),
    files,
  };
}

export interface RestoreOptions extends SamplerOptions {
  readonly out: string;
  readonly channel?: string;
  readonly version?: number;
  readonly severity?: number;
  readonly degrade?: boolean;
  /** Takes an image of the other kind, greyscale or colour, than the model does. */
  readonly convert?: boolean;
}

/** Restores one image file; with `degrade` the file is a clean image and is degraded first. */
export async function restoreImage(
  cluster: Pick<ClusterFile, 'samplers' | 'token'>,
  file: string,
  options: RestoreOptions,
): Promise<{ job: string; version: number; file: string }> {
  const { out, ...request } = options;
  makeFolder(dirname(resolve(out)));
  let image: Buffer;
  try {
    image = readFileSync(file);
  } catch (cause) {
    throw new ThawError('THAW_IMAGE_INVALID', `The file ${file} cannot be read: ${(cause as Error).message}`, {
      cause,
    });
  }
  const targets = samplersOf(cluster);
  const status = await finishJob(targets, { mode: 'restore', image: image.toString('base64'), ...defined(request) });
  writeFileSync(out, await anyOf(targets, (target) => callBytes(target, `/v1/jobs/${status.id}/images/0.png`)));
  return { job: status.id, version: status.version, file: resolve(out) };
}

const defined = (fields: object): Record<string, unknown> =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
