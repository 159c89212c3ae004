/**
 * The jobs that this sampler keeps: it sees to it that every row is computed by somebody until all results are stored, the deadline
 * passes, or the client cancels. A row may be computed twice (a holder was silent too long): both results are the same bytes and are
 * stored once. Pure: `(state, event) -> state`, `keeperEffects(state, board, now) -> effects`.
 */
import type { ErrorCode, JobSpec } from '@thaw/shared/protocol';
import { dueByMs, isBlock } from '../jobs/index.js';
import { rowKey, type Board } from './board.js';

export interface KeptJob {
  readonly spec: JobSpec;
  readonly done: ReadonlySet<number>;
  /** Rows whose offer is under way. */
  readonly offered: ReadonlySet<number>;
  /** Failures so far, of all rows together. */
  readonly failures: number;
  readonly lastFailure?: { readonly code: string; readonly message: string };
  /** Samplers that would compute other bits than the evaluation has. */
  readonly unfit: ReadonlySet<string>;
  /** When a client was last heard to ask for it, or when it was taken over. */
  readonly askedMs: number;
  /** No row is offered before: after taking over a job, those who compute its rows are heard first. */
  readonly offersFromMs: number;
  readonly ending: boolean;
}

export interface KeeperState {
  readonly jobs: ReadonlyMap<string, KeptJob>;
  /** After a `busy`, no offers until then: of users' jobs, and of evaluations, which never make a user's job wait. */
  readonly pausedUntilMs: number;
  readonly blocksPausedUntilMs: number;
}

export type KeeperEvent =
  | {
      readonly type: 'kept';
      readonly spec: JobSpec;
      readonly done: readonly number[];
      readonly offersFromMs: number;
      readonly askedMs: number;
    }
  | { readonly type: 'asked'; readonly job: string; readonly askedMs: number }
  | { readonly type: 'offering'; readonly job: string; readonly row: number }
  | {
      readonly type: 'answered';
      readonly job: string;
      readonly row: number;
      readonly busyUntilMs?: number;
      /** Who answered that it is not fit for the evaluation. */
      readonly unfit?: string;
    }
  | { readonly type: 'row-done'; readonly job: string; readonly row: number }
  | {
      readonly type: 'row-failed';
      readonly sampler: string;
      readonly job: string;
      readonly row: number;
      readonly code: string;
      readonly message: string;
    }
  /** Its end is being written; `end-failed`: that did not work, it is due again. */
  | { readonly type: 'ending' | 'end-failed'; readonly job: string }
  | { readonly type: 'dropped'; readonly job: string };

export type KeeperEffect =
  | { readonly type: 'offer'; readonly spec: JobSpec; readonly row: number }
  | {
      readonly type: 'end';
      readonly job: string;
      readonly state: 'done' | 'expired' | 'failed';
      readonly code?: string;
      readonly message?: string;
    };

export const emptyKeeper: KeeperState = { jobs: new Map(), pausedUntilMs: 0, blocksPausedUntilMs: 0 };

/** A job is given up after this many failures of its rows. */
export const maxFailures = 3;
/** Offers under way at once: of users' jobs, and as many of evaluations. */
export const offerWindow = 16;
/** A block of an evaluation for which no client has asked so long is given up: the client waits at it, or is gone. */
export const mostSilenceMs = 10 * 60_000;
/** With this a sampler fails rows of an evaluation whose bits are not its own; others may have them. */
const otherBitsCode: ErrorCode = 'THAW_FINGERPRINT_MISMATCH';

export function keeperAfter(state: KeeperState, event: KeeperEvent): KeeperState {
  const jobs = new Map(state.jobs);
  if (event.type === 'kept') {
    const { spec, offersFromMs, askedMs } = event;
    jobs.set(spec.id, {
      spec,
      done: new Set(event.done),
      offered: new Set(),
      failures: 0,
      unfit: new Set(),
      askedMs,
      offersFromMs,
      ending: false,
    });
    return { ...state, jobs };
  }
  if (event.type === 'dropped') {
    jobs.delete(event.job);
    return { ...state, jobs };
  }
  const kept = jobs.get(event.job);
  let { pausedUntilMs, blocksPausedUntilMs } = state;
  if (kept === undefined) return state;
  switch (event.type) {
    case 'asked':
      jobs.set(event.job, { ...kept, askedMs: event.askedMs });
      break;
    case 'offering':
      jobs.set(event.job, { ...kept, offered: new Set(kept.offered).add(event.row) });
      break;
    case 'answered':
      jobs.set(event.job, {
        ...kept,
        offered: without(kept.offered, event.row),
        unfit: event.unfit === undefined ? kept.unfit : new Set(kept.unfit).add(event.unfit),
      });
      if (event.busyUntilMs === undefined) break;
      if (isBlock(kept.spec)) blocksPausedUntilMs = Math.max(blocksPausedUntilMs, event.busyUntilMs);
      else pausedUntilMs = Math.max(pausedUntilMs, event.busyUntilMs);
      break;
    case 'row-done':
      jobs.set(event.job, { ...kept, done: new Set(kept.done).add(event.row) });
      break;
    case 'row-failed': {
      const { sampler, code, message } = event;
      if (isBlock(kept.spec) && code === otherBitsCode)
        jobs.set(event.job, { ...kept, unfit: new Set(kept.unfit).add(sampler) });
      else jobs.set(event.job, { ...kept, failures: kept.failures + 1, lastFailure: { code, message } });
      break;
    }
    case 'ending':
    case 'end-failed':
      jobs.set(event.job, { ...kept, ending: event.type === 'ending' });
      break;
  }
  return { jobs, pausedUntilMs, blocksPausedUntilMs };
}

const without = (set: ReadonlySet<number>, value: number): Set<number> => new Set([...set].filter((x) => x !== value));

/** Rows that are not stored yet: of users' jobs, or of evaluations. */
export function openRows(state: KeeperState, of: 'users' | 'evaluations' = 'users'): number {
  let rows = 0;
  for (const { spec, done, ending } of state.jobs.values())
    if (!ending && isBlock(spec) === (of === 'evaluations')) rows += spec.count - done.size;
  return rows;
}

/** What is due now: jobs that are over, and rows that nobody computes, users' before evaluations', in order of urgency. */
export function keeperEffects(state: KeeperState, board: Board, nowMs: number, wallMs: number): KeeperEffect[] {
  const jobs = [...state.jobs.values()].sort((a, b) => dueByMs(a.spec) - dueByMs(b.spec));
  const users = jobs.filter(({ spec }) => !isBlock(spec));
  const blocks = jobs.filter(({ spec }) => isBlock(spec));
  return [
    ...dueOf(users, board, nowMs, wallMs, state.pausedUntilMs),
    ...dueOf(blocks, board, nowMs, wallMs, state.blocksPausedUntilMs),
  ];
}

function dueOf(
  jobs: readonly KeptJob[],
  board: Board,
  nowMs: number,
  wallMs: number,
  pausedUntilMs: number,
): KeeperEffect[] {
  const effects: KeeperEffect[] = [];
  let window = offerWindow;
  for (const job of jobs) window -= job.offered.size;
  for (const job of jobs) {
    const { spec } = job;
    if (job.ending) continue;
    const whole = job.done.size >= spec.count;
    if (whole && !isBlock(spec)) {
      effects.push({ type: 'end', job: spec.id, state: 'done' });
    } else if (spec.deadlineAtMs !== undefined && wallMs >= spec.deadlineAtMs) {
      const message = whole
        ? 'Nobody took the estimates away in time.'
        : `The deadline passed with ${job.done.size} of ${spec.count} images finished.`;
      effects.push({ type: 'end', job: spec.id, state: 'expired', code: 'THAW_DEADLINE_EXPIRED', message });
    } else if (isBlock(spec) && nowMs - job.askedMs >= mostSilenceMs) {
      const message = `Nobody has asked for the estimates for ${mostSilenceMs / 60_000} minutes.`;
      effects.push({ type: 'end', job: spec.id, state: 'expired', code: 'THAW_DEADLINE_EXPIRED', message });
    } else if (!whole && job.failures >= maxFailures) {
      effects.push({ type: 'end', job: spec.id, state: 'failed', ...job.lastFailure });
    } else if (!whole && nobodyFits(job, board)) {
      const message = `No sampler that is heard would compute the bits of this evaluation, whose fingerprint is ${spec.evaluation?.fingerprint.slice(0, 12)}: ${[...board.samplers.keys()].join(', ')}.`;
      effects.push({ type: 'end', job: spec.id, state: 'failed', code: otherBitsCode, message });
    } else if (!whole && nowMs >= job.offersFromMs && nowMs >= pausedUntilMs) {
      for (let row = 0; row < spec.count && window > 0; row++) {
        if (job.done.has(row) || job.offered.has(row) || board.rows.has(rowKey(spec.id, row))) continue;
        effects.push({ type: 'offer', spec, row });
        window--;
      }
    }
  }
  return effects;
}

const nobodyFits = ({ unfit }: KeptJob, { samplers }: Board): boolean =>
  unfit.size > 0 && [...samplers.keys()].every((sampler) => unfit.has(sampler));
