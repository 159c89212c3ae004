/** What this sampler has heard of the others: who lives, and who computes which row. Pure. */
import type { SamplerEvent } from '@thaw/shared/protocol';

export interface RowHolder {
  readonly sampler: string;
  readonly severity: number;
  readonly heardMs: number;
}

export interface Board {
  /** Last beat of every sampler. */
  readonly samplers: ReadonlyMap<string, number>;
  /** By {@link rowKey}: who computes a row. */
  readonly rows: ReadonlyMap<string, RowHolder>;
}

export const emptyBoard: Board = { samplers: new Map(), rows: new Map() };

export const rowKey = (job: string, row: number): string => `${job}/${row}`;

/** The board after an event was heard (or made: a sampler hears itself). */
export function boardAfter(board: Board, event: SamplerEvent, nowMs: number): Board {
  const samplers = new Map(board.samplers);
  const rows = new Map(board.rows);
  const release = (sampler: string): void => {
    for (const [key, holder] of rows) if (holder.sampler === sampler) rows.delete(key);
  };
  switch (event.type) {
    case 'beat':
      samplers.set(event.sampler, nowMs);
      // A beat is the whole truth about its sender: rows it no longer names are free.
      release(event.sampler);
      for (const { job, row, severity } of event.rows)
        rows.set(rowKey(job, row), { sampler: event.sampler, severity, heardMs: nowMs });
      break;
    case 'leave':
      samplers.delete(event.sampler);
      release(event.sampler);
      break;
    case 'stored':
      if (event.severity === 0) rows.delete(rowKey(event.job, event.row));
      break;
    case 'row-failed':
      rows.delete(rowKey(event.job, event.row));
      break;
    case 'asked':
      break;
    case 'ended':
      for (const key of rows.keys()) if (key.startsWith(`${event.job}/`)) rows.delete(key);
      break;
  }
  return { samplers, rows };
}

/** The board after a row was accepted by a sampler whose next beat has not come yet. */
export function rowTaken(
  board: Board,
  job: string,
  row: number,
  sampler: string,
  severity: number,
  nowMs: number,
): Board {
  const rows = new Map(board.rows).set(rowKey(job, row), { sampler, severity, heardMs: nowMs });
  return { ...board, rows };
}

/** The board without samplers that were silent for `silenceMs`, and without their rows. */
export function forgetSilent(board: Board, nowMs: number, silenceMs: number): Board {
  const fresh = (heardMs: number): boolean => nowMs - heardMs < silenceMs;
  return {
    samplers: new Map([...board.samplers].filter(([, heardMs]) => fresh(heardMs))),
    rows: new Map([...board.rows].filter(([, holder]) => fresh(holder.heardMs))),
  };
}

/** Severities of a job's rows that are being computed somewhere. */
export function runningRows(board: Board, job: string): Map<number, number> {
  const running = new Map<number, number>();
  for (const [key, holder] of board.rows)
    if (key.startsWith(`${job}/`)) running.set(Number(key.slice(job.length + 1)), holder.severity);
  return running;
}
