/** From a request to a job: everything that decides the bits of its images, fixed when it is accepted. Pure. */
import { planSeverities, severitySequence } from '@thaw/shared/diffusion';
import { ThawError, type JobSpec, type ModelVersion } from '@thaw/shared/protocol';
import { RandomStream } from '@thaw/shared/runtime';
import type { JobRequest } from './request.js';

/** What the sampler knows when it accepts a job. */
export interface Acceptance {
  readonly id: string;
  readonly nowMs: number;
  readonly version: ModelVersion;
  /** T of the model. */
  readonly steps: number;
  readonly dataset: string;
  /** Images in the test split; for mode sample. */
  readonly testCount: number;
  /** Prior and noise of the start. */
  readonly start?: JobSpec['start'];
  /** Severity at which generation starts; T unless given. */
  readonly severity?: number | undefined;
}

/**
 * `count` different positions in a test split of `size` images, chosen by the seed; a shorter choice is a prefix of a longer one.
 * @throws ThawError THAW_JOB_INVALID when the split has fewer images
 */
export function testIndices(seed: number, count: number, size: number): number[] {
  if (count > size)
    throw new ThawError('THAW_JOB_INVALID', `count: ${count} test images were asked for; the data set has ${size}.`);
  const stream = new RandomStream(seed, 'sampling');
  const chosen = new Set<number>();
  while (chosen.size < count) chosen.add(stream.below(size));
  return [...chosen];
}

/**
 * The job that a request becomes.
 * @throws ThawError THAW_SAMPLING_INVALID for a severity or number of calls that the model does not have
 */
export function jobSpec(request: JobRequest, acceptance: Acceptance): JobSpec {
  const { id, nowMs, version, steps, dataset, testCount } = acceptance;
  const start = request.severity ?? acceptance.severity ?? steps;
  if (start > steps)
    throw new ThawError(
      'THAW_SAMPLING_INVALID',
      `severity: ${start} was asked for; the model has severities 1 to ${steps}.`,
    );
  const first = request.sampleSteps ?? start;
  if (first > start)
    throw new ThawError(
      'THAW_SAMPLING_INVALID',
      `sampleSteps: ${first} was asked for; sampling starts at a severity from 1 to ${start}, that of the image.`,
    );
  const { severities } = planSeverities(request.sampler, steps, severitySequence(first, request.calls));
  const spec: JobSpec = {
    format: 'thaw.job/1',
    id,
    acceptedMs: nowMs,
    mode: request.mode,
    count: request.count,
    seed: request.seed,
    version,
    sampler: request.sampler,
    severities: [...severities],
    degrade: request.mode === 'restore' ? (request.degrade ?? false) : acceptance.start?.mixture === undefined,
  };
  return {
    ...spec,
    ...(first === start ? {} : { degradedTo: start }),
    ...(request.freshNoise === true ? { freshNoise: true as const } : {}),
    ...(acceptance.start === undefined ? {} : { start: acceptance.start }),
    ...(request.mode !== 'sample'
      ? {}
      : { test: { dataset, indices: testIndices(request.seed, request.count, testCount) } }),
    ...(request.deadlineMs === undefined ? {} : { deadlineAtMs: nowMs + request.deadlineMs }),
    ...(request.framesPerSecond === undefined ? {} : { framesPerSecond: request.framesPerSecond }),
  };
}

/** Without a deadline a row is wanted within this time; it only orders rows. */
export const usualPatienceMs = 60_000;

/** Time by which a job is wanted: its deadline, or a usual time after acceptance. */
export const dueByMs = (spec: JobSpec): number => spec.deadlineAtMs ?? spec.acceptedMs + usualPatienceMs;
