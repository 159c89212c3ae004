/**
 * Blocks of evaluations: jobs whose rows are consecutive images of a split, computed below the users' rows, and which stay open until the
 * client takes them away, so that what they are computed with stays. Pure.
 */
import { createHash } from 'node:crypto';
import { planSeverities, severitySequence, type SamplingAlgorithm } from '@thaw/shared/diffusion';
import { ThawError, type JobSpec, type ModelVersion } from '@thaw/shared/protocol';
import type { JobRequest } from './request.js';

export const isBlock = (spec: Pick<JobSpec, 'mode'>): boolean => spec.mode === 'evaluate';

/** A block is given up after this time, whoever asks for it. */
export const mostWaitMs = 24 * 3_600_000;

/** What the sampler knows when it accepts a block. */
export interface BlockAcceptance {
  /** Own name, for refusals. */
  readonly sampler: string;
  readonly nowMs: number;
  readonly version: ModelVersion;
  /** T of the model. */
  readonly steps: number;
  readonly dataset: string;
  readonly fingerprint: string;
  /** Images in the split. */
  readonly available: number;
  /** No other sampler is heard that may compute what this one cannot. */
  readonly alone: boolean;
}

/**
 * The job of a block. Its id follows from the request: a request that was sent twice is one job. A sampler that would compute other bits
 * keeps it for those that compute these.
 * @throws ThawError THAW_CHECKPOINT_INVALID, THAW_FINGERPRINT_MISMATCH, THAW_JOB_INVALID, THAW_SAMPLING_INVALID
 */
export function blockSpec(request: JobRequest, acceptance: BlockAcceptance): JobSpec {
  const { sampler, nowMs, version, steps, dataset, fingerprint, available, alone } = acceptance;
  const { split, first, manifestSha256, fingerprint: asked } = request.evaluation!;
  if (version.manifestSha256 !== manifestSha256)
    throw new ThawError(
      'THAW_CHECKPOINT_INVALID',
      `Step ${version.step} of run ${version.run} has the manifest ${version.manifestSha256}; ${manifestSha256} is evaluated.`,
    );
  if (fingerprint !== asked && alone) throw otherBits(sampler, fingerprint, asked);
  if (first + request.count > available)
    throw new ThawError(
      'THAW_JOB_INVALID',
      `count: images ${first} to ${first + request.count - 1} were asked for; the split ${split} of ${dataset} has ${available}.`,
    );
  return {
    format: 'thaw.job/1',
    id: createHash('sha256').update(JSON.stringify(request)).digest('hex').slice(0, 32),
    acceptedMs: nowMs,
    mode: 'evaluate',
    count: request.count,
    seed: request.seed,
    version,
    sampler: request.sampler,
    severities: evaluatedSeverities(request.sampler, steps, request.calls),
    degrade: true,
    evaluation: { dataset, split, first, fingerprint: asked },
    deadlineAtMs: nowMs + mostWaitMs,
  };
}

/** Severities of an evaluation's network calls, from T down. @throws ThawError THAW_SAMPLING_INVALID */
export const evaluatedSeverities = (sampler: SamplingAlgorithm, steps: number, calls?: number): number[] => [
  ...planSeverities(sampler, steps, severitySequence(steps, calls)).severities,
];

/** @param sampler name of the one that refuses */
export const otherBits = (sampler: string, own: string, asked: string): ThawError =>
  new ThawError(
    'THAW_FINGERPRINT_MISMATCH',
    `Sampler ${sampler} would compute other bits than this evaluation: its fingerprint is ${own.slice(0, 12)}, that of the evaluation ${asked.slice(0, 12)}.`,
    { cure: 'Evaluate on samplers of one kind (Thaw, engine, Node, processor, batch sizes), or without a cluster.' },
  );
