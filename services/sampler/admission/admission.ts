/** Whether a job is taken: a bounded queue of rows, deadlines, drain. Pure. */
import { ThawError } from '@thaw/shared/protocol';
import { rowsPerSecond, type DrainRate } from './drain-rate.js';

export interface AdmissionLimits {
  /** Rows that may wait or be computed at once for the jobs that this sampler keeps. */
  readonly maxQueuedRows: number;
}

export interface AdmissionState {
  readonly queuedRows: number;
  readonly drain: DrainRate;
  /** The sampler is on its way out. */
  readonly draining: boolean;
}

export interface AdmissionRequest {
  readonly rows: number;
  /** Time given to the job from now; undefined: any. */
  readonly deadlineMs?: number;
}

/** Seconds of `Retry-After` when nothing was finished lately. */
const unmeasuredRetryS = 5;
const longestRetryS = 120;

/**
 * Seconds until `rows` more rows fit, at the measured drain rate.
 * @returns at least 1, at most 120
 */
export function retryAfterSeconds(state: AdmissionState, limits: AdmissionLimits, rows: number, nowMs: number): number {
  const rate = rowsPerSecond(state.drain, nowMs);
  if (rate === undefined) return unmeasuredRetryS;
  const excess = Math.max(0, state.queuedRows + rows - limits.maxQueuedRows);
  return Math.min(longestRetryS, Math.max(1, Math.ceil(excess / rate)));
}

/**
 * The reason why a job is not taken, or undefined when it is. A refusal that passes with time carries `details.retryAfterSeconds`.
 */
export function refusal(
  state: AdmissionState,
  limits: AdmissionLimits,
  request: AdmissionRequest,
  nowMs: number,
): ThawError | undefined {
  if (state.draining) {
    return new ThawError('THAW_DRAINING', 'This sampler is shutting down and takes no new jobs.', {
      details: { retryAfterSeconds: 1 },
    });
  }
  if (request.deadlineMs !== undefined && request.deadlineMs <= 0) {
    return new ThawError(
      'THAW_DEADLINE_EXPIRED',
      `The deadline passed ${-request.deadlineMs} ms before the job arrived.`,
    );
  }
  if (request.rows > limits.maxQueuedRows) {
    return new ThawError(
      'THAW_JOB_INVALID',
      `count: ${request.rows} images were asked for; one job may have at most ${limits.maxQueuedRows}.`,
      { cure: `Ask for at most ${limits.maxQueuedRows} images, in several jobs if need be.` },
    );
  }
  if (state.queuedRows + request.rows > limits.maxQueuedRows) {
    const seconds = retryAfterSeconds(state, limits, request.rows, nowMs);
    return new ThawError(
      'THAW_QUEUE_FULL',
      `${state.queuedRows} of ${limits.maxQueuedRows} places are taken; ${request.rows} more do not fit.`,
      { cure: `Try again in ${seconds} s.`, details: { retryAfterSeconds: seconds } },
    );
  }
  return undefined;
}
