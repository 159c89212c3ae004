/**
 * Old jobs of samplers: their specifications, inputs, results and states. A job goes when nobody keeps it open any more and nothing of it
 * was written for a time; its specification goes first, so that a job that is there is there as a whole.
 */
import { JobIdSchema, JobSpecSchema, type JobSpec } from '../../protocol/index.js';
import type { ObjectStore } from '../store/index.js';

const jobsPrefix = 'jobs/';
export const openJobsPrefix = 'open-jobs/';
export const jobPrefix = (id: string): string => `${jobsPrefix}${id}/`;
export const jobSpecKey = (id: string): string => `${jobPrefix(id)}spec.json`;
/** Who keeps an unfinished job; there as long as it is unfinished. */
export const openJobKey = (id: string): string => `${openJobsPrefix}${id}.json`;

/** The id in a key below {@link openJobsPrefix}. */
export function openJobId(key: string): string | undefined {
  const id = JobIdSchema.safeParse(key.slice(openJobsPrefix.length).replace(/\.json$/, ''));
  return id.success ? id.data : undefined;
}

export interface CollectJobsOptions {
  /** Only jobs on checkpoints of this run, and what is left of jobs that have no specification. All jobs if not given. */
  readonly run?: string | undefined;
  /** Wall-clock time, milliseconds since the epoch. */
  readonly nowMs: number;
  /** A job stays for so long after the last of it was written. */
  readonly keepMs: number;
  /** Only say what would be done. */
  readonly dryRun: boolean;
}

export interface CollectJobsReport {
  readonly dryRun: boolean;
  /** Ids of jobs. */
  readonly removed: readonly string[];
  readonly removedObjects: number;
  readonly removedBytes: number;
  readonly kept: number;
}

interface FoundJob {
  readonly keys: string[];
  bytes: number;
  newestMs: number;
}

/** Removes old jobs. Any number of collections may run beside each other and beside samplers. */
export async function collectJobs(store: ObjectStore, options: CollectJobsOptions): Promise<CollectJobsReport> {
  const found = new Map<string, FoundJob>();
  for await (const { key, size, modifiedMs } of store.list(jobsPrefix)) {
    const id = JobIdSchema.safeParse(key.split('/')[1]);
    if (!id.success) continue;
    const job = found.get(id.data) ?? { keys: [], bytes: 0, newestMs: 0 };
    job.keys.push(key);
    job.bytes += size;
    job.newestMs = Math.max(job.newestMs, modifiedMs);
    found.set(id.data, job);
  }
  const removed: string[] = [];
  let [removedObjects, removedBytes] = [0, 0];
  for (const [id, { keys, bytes, newestMs }] of found) {
    if (newestMs > options.nowMs - options.keepMs) continue;
    if (options.run !== undefined && !(await belongsTo(store, id, options.run))) continue;
    // The mark is put before the specification and removed at the end, once and for all: without one nobody begins to write again.
    if ((await store.head(openJobKey(id))) !== undefined) continue;
    if (!options.dryRun) {
      await store.delete(jobSpecKey(id));
      for (const key of keys) await store.delete(key);
    }
    removed.push(id);
    removedObjects += keys.length;
    removedBytes += bytes;
  }
  return { dryRun: options.dryRun, removed, removedObjects, removedBytes, kept: found.size - removed.length };
}

async function belongsTo(store: ObjectStore, id: string, run: string): Promise<boolean> {
  const spec = await readSpec(store, id);
  return spec === undefined || spec.version.run === run;
}

/** Undefined as well for what cannot be read: nobody can compute such a job. */
async function readSpec(store: ObjectStore, id: string): Promise<JobSpec | undefined> {
  const stored = await store.get(jobSpecKey(id));
  if (stored === undefined) return undefined;
  try {
    return JobSpecSchema.parse(JSON.parse(new TextDecoder().decode(stored.bytes)));
  } catch {
    return undefined;
  }
}

/** Checkpoints that unfinished jobs are computed with: whoever takes such a job over must find them. */
export async function checkpointsOfOpenJobs(
  store: ObjectStore,
): Promise<{ run: string; step: number; reason: string }[]> {
  const pins: { run: string; step: number; reason: string }[] = [];
  for await (const { key } of store.list(openJobsPrefix)) {
    const id = openJobId(key);
    const spec = id === undefined ? undefined : await readSpec(store, id);
    if (spec !== undefined)
      pins.push({ run: spec.version.run, step: spec.version.step, reason: `job ${spec.id} runs on it` });
  }
  return pins;
}
