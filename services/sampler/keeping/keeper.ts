/**
 * The jobs that this sampler keeps: it sees to it that every row is computed by somebody until all results are stored, the deadline
 * passes, or the client cancels. A row may be computed twice (a holder was silent too long): both results are the same bytes and are
 * stored once. Pure: `(state, event) -> state`, `keeperEffects(state, board, now) -> effects`.
 */
import type { JobSpec } from '@thaw/shared/protocol';
import { dueByMs } from '../jobs/index.js';
import { rowKey, type Board } from './board.js';

export interface KeptJob {
  readonly spec: JobSpec;
  readonly done: ReadonlySet<number>;
  /** Rows whose offer is under way. */
  readonly offered: ReadonlySet<number>;
  /** Failures so far, of all rows together. */
  readonly failures: number;
  readonly lastFailure?: { readonly code: string; readonly message: string };
  /** No row is offered before: after taking over a job, those who compute its rows are heard first. */
  readonly offersFromMs: number;
  readonly ending: boolean;
}

export interface KeeperState {
  readonly jobs: ReadonlyMap<string, KeptJob>;
  /** After a `busy`, no offers until then. */
  readonly pausedUntilMs: number;
}

export type KeeperEvent =
  | { readonly type: 'kept'; readonly spec: JobSpec; readonly done: readonly number[]; readonly offersFromMs: number }
  | { readonly type: 'offering'; readonly job: string; readonly row: number }
  | { readonly type: 'answered'; readonly job: string; readonly row: number; readonly busyUntilMs?: number }
  | { readonly type: 'row-done'; readonly job: string; readonly row: number }
  | {
      readonly type: 'row-failed';
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

export const emptyKeeper: KeeperState = { jobs: new Map(), pausedUntilMs: 0 };

/** A job is given up after this many failures of its rows. */
export const maxFailures = 3;
/** Offers under way at once. */
export const offerWindow = 16;

export function keeperAfter(state: KeeperState, event: KeeperEvent): KeeperState {
  const jobs = new Map(state.jobs);
  if (event.type === 'kept') {
    const { spec, offersFromMs } = event;
    jobs.set(spec.id, {
      spec,
      done: new Set(event.done),
      offered: new Set(),
      failures: 0,
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
  let { pausedUntilMs } = state;
  if (kept === undefined) return state;
  switch (event.type) {
    case 'offering':
      jobs.set(event.job, { ...kept, offered: new Set(kept.offered).add(event.row) });
      break;
    case 'answered':
      jobs.set(event.job, { ...kept, offered: without(kept.offered, event.row) });
      if (event.busyUntilMs !== undefined) pausedUntilMs = Math.max(pausedUntilMs, event.busyUntilMs);
      break;
    case 'row-done':
      jobs.set(event.job, { ...kept, done: new Set(kept.done).add(event.row) });
      break;
    case 'row-failed': {
      const { code, message } = event;
      jobs.set(event.job, { ...kept, failures: kept.failures + 1, lastFailure: { code, message } });
      break;
    }
    case 'ending':
    case 'end-failed':
      jobs.set(event.job, { ...kept, ending: event.type === 'ending' });
      break;
  }
  return { jobs, pausedUntilMs };
}

const without = (set: ReadonlySet<number>, value: number): Set<number> => new Set([...set].filter((x) => x !== value));

/** Rows that are not stored yet. */
export function openRows(state: KeeperState): number {
  let rows = 0;
  for (const job of state.jobs.values()) if (!job.ending) rows += job.spec.count - job.done.size;
  return rows;
}

/** What is due now: jobs that are over, and rows that nobody computes, in order of urgency. */
export function keeperEffects(state: KeeperState, board: Board, nowMs: number, wallMs: number): KeeperEffect[] {
  const effects: KeeperEffect[] = [];
  let window = offerWindow;
  for (const job of state.jobs.values()) window -= job.offered.size;
  const byUrgency = [...state.jobs.values()].sort((a, b) => dueByMs(a.spec) - dueByMs(b.spec));
  for (const job of byUrgency) {
    const { spec } = job;
    if (job.ending) continue;
    if (job.done.size >= spec.count) {
      effects.push({ type: 'end', job: spec.id, state: 'done' });
    } else if (spec.deadlineAtMs !== undefined && wallMs >= spec.deadlineAtMs) {
      const message = `The deadline passed with ${job.done.size} of ${spec.count} images finished.`;
      effects.push({ type: 'end', job: spec.id, state: 'expired', code: 'THAW_DEADLINE_EXPIRED', message });
    } else if (job.failures >= maxFailures) {
      effects.push({ type: 'end', job: spec.id, state: 'failed', ...job.lastFailure });
    } else if (nowMs >= job.offersFromMs && nowMs >= state.pausedUntilMs) {
      for (let row = 0; row < spec.count && window > 0; row++) {
        if (job.done.has(row) || job.offered.has(row) || board.rows.has(rowKey(spec.id, row))) continue;
        effects.push({ type: 'offer', spec, row });
        window--;
      }
    }
  }
  return effects;
}
