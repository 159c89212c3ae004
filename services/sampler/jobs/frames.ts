/** Which states of a trajectory are kept, and the sequence numbers under which watchers get them. Pure functions of the job. */
import type { JobSpec } from '@thaw/shared/protocol';

/** States kept of one row for watchers, x_0 not counted. */
export const maxFramesPerRow = 64;
/** Network calls between two saved states when nobody watches: what a crash costs at most. */
export const savedEvery = 64;

/** Severities, falling, at which a row's state is saved. */
export function savedSeverities(spec: JobSpec): number[] {
  const { severities } = spec;
  if (spec.framesPerSecond === undefined) return severities.filter((_, k) => k > 0 && k % savedEvery === 0);
  const stride = Math.ceil(severities.length / maxFramesPerRow);
  return severities.filter((_, k) => k % stride === 0);
}

export interface FrameName {
  /** From 1, without gaps. */
  readonly sequence: number;
  readonly row: number;
  /** Severity of x_s; 0 for the result. */
  readonly severity: number;
}

/** Number of frames of a job with frames. */
export const frameCount = (spec: JobSpec): number => (savedSeverities(spec).length + 1) * spec.count;

/** Frame `sequence` of a job: severity by severity from x_T to x_0, the rows within. Undefined past the end. */
export function frameName(spec: JobSpec, sequence: number): FrameName | undefined {
  if (sequence < 1 || sequence > frameCount(spec)) return undefined;
  const position = Math.floor((sequence - 1) / spec.count);
  return { sequence, row: (sequence - 1) % spec.count, severity: savedSeverities(spec)[position] ?? 0 };
}
