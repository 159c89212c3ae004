/** What a client is told of a job. */
import { ThawError, type JobSpec } from '@thaw/shared/protocol';
import { z } from 'zod';

/** Why a job is over: stored as `jobs/<id>/end.json`. */
export const JobEndSchema = z.strictObject({
  format: z.literal('thaw.job-end/1'),
  state: z.enum(['done', 'cancelled', 'expired', 'failed']),
  /** Error code, for expired and failed. */
  code: z.string().optional(),
  message: z.string().optional(),
  endedMs: z.number(),
});
export type JobEnd = z.infer<typeof JobEndSchema>;

/** Who keeps an unfinished job: stored as `open-jobs/<id>.json`. Empty: nobody, the first to see it takes it. */
export const KeeperSchema = z.strictObject({
  format: z.literal('thaw.open-job/1'),
  keeper: z.string(),
  sinceMs: z.number(),
});

export const JobStatusSchema = z.object({
  id: z.string(),
  state: z.enum(['running', 'done', 'cancelled', 'expired', 'failed']),
  mode: z.enum(['sample', 'restore', 'generate', 'evaluate']),
  count: z.int(),
  done: z.int(),
  seed: z.int(),
  run: z.string(),
  version: z.int(),
  sampler: z.string(),
  severity: z.int(),
  calls: z.int(),
  dataset: z.string().optional(),
  /** SHA-256 of the prior that images were generated from. */
  prior: z.string().optional(),
  rows: z.array(
    z.object({
      row: z.int(),
      state: z.enum(['waiting', 'running', 'done']),
      /** Severity reached, while running. */
      severity: z.int().optional(),
      /** Position in the split, for modes sample and evaluate. */
      testIndex: z.int().optional(),
      image: z.string(),
    }),
  ),
  code: z.string().optional(),
  message: z.string().optional(),
});
export type JobStatus = z.infer<typeof JobStatusSchema>;

/**
 * The status of a job.
 * @param done rows whose result is stored
 * @param running severity of the rows that some sampler is heard to compute
 */
export function jobStatus(
  spec: JobSpec,
  end: JobEnd | undefined,
  done: ReadonlySet<number>,
  running: ReadonlyMap<number, number>,
): JobStatus {
  const rows = Array.from({ length: spec.count }, (_, row) => {
    const severity = done.has(row) ? undefined : running.get(row);
    const state = done.has(row)
      ? ('done' as const)
      : severity === undefined
        ? ('waiting' as const)
        : ('running' as const);
    const testIndex = spec.evaluation === undefined ? spec.test?.indices[row] : spec.evaluation.first + row;
    return {
      row,
      state,
      ...(severity === undefined ? {} : { severity }),
      ...(testIndex === undefined ? {} : { testIndex }),
      image: `/v1/jobs/${spec.id}/images/${row}.png`,
    };
  });
  const dataset = (spec.test ?? spec.evaluation)?.dataset;
  return {
    id: spec.id,
    state: done.size === spec.count ? 'done' : (end?.state ?? 'running'),
    mode: spec.mode,
    count: spec.count,
    done: done.size,
    seed: spec.seed,
    run: spec.version.run,
    version: spec.version.step,
    sampler: spec.sampler,
    severity: spec.degradedTo ?? spec.severities[0]!,
    calls: spec.severities.length,
    ...(dataset === undefined ? {} : { dataset }),
    ...(spec.start?.prior === undefined ? {} : { prior: spec.start.prior }),
    rows,
    ...(end?.code === undefined ? {} : { code: end.code }),
    ...(end?.message === undefined ? {} : { message: end.message }),
  };
}

/** The error of asking for an image that is not there. */
export function missingImage(spec: JobSpec, row: number, end: JobEnd | undefined): ThawError {
  if (row >= spec.count)
    return new ThawError('THAW_JOB_NOT_FOUND', `The job has images 0 to ${spec.count - 1}; ${row} was asked for.`);
  if (end === undefined || end.state === 'done')
    return new ThawError('THAW_JOB_NOT_READY', `Image ${row} of the job is not finished.`, {
      details: { retryAfterSeconds: 1 },
    });
  if (end.state === 'expired')
    return new ThawError('THAW_DEADLINE_EXPIRED', `The deadline of the job passed before image ${row} was finished.`);
  return new ThawError(
    'THAW_JOB_ENDED',
    `The job was ${end.state} before image ${row} was finished.${end.message === undefined ? '' : ` ${end.message}`}`,
  );
}
