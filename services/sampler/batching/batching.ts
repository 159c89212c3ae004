/**
 * Step-level continuous batching. Each network call takes whatever rows are due, each at its own severity; rows enter and leave at any
 * call. Pure: the worker tells what happens and performs the calls chosen here.
 */

/** Users first; evaluations fill what is left. */
export type Priority = 'user' | 'evaluation';

/** What batching knows about a row. */
export interface BatchRow {
  readonly key: string;
  /** Rows of different versions never share a call (they have different weights). */
  readonly versionKey: string;
  readonly priority: Priority;
  /** Time by which the row is wanted; earlier goes first. */
  readonly dueByMs: number;
  /** Order of arrival: breaks ties. */
  readonly arrival: number;
  /** In a call at this moment. */
  readonly inFlight: boolean;
}

export interface BatchingState {
  readonly rows: ReadonlyMap<string, BatchRow>;
}

export type BatchingEvent =
  | { readonly type: 'entered'; readonly row: Omit<BatchRow, 'inFlight'> }
  /** The call with these rows is over; those that are finished leave with `left`. */
  | { readonly type: 'returned'; readonly keys: readonly string[] }
  | { readonly type: 'left'; readonly key: string };

export const emptyBatching: BatchingState = { rows: new Map() };

export function batchingAfter(state: BatchingState, event: BatchingEvent): BatchingState {
  const rows = new Map(state.rows);
  if (event.type === 'entered') rows.set(event.row.key, { ...event.row, inFlight: false });
  else if (event.type === 'left') rows.delete(event.key);
  else {
    for (const key of event.keys) {
      const row = rows.get(key);
      if (row !== undefined) rows.set(key, { ...row, inFlight: false });
    }
  }
  return { rows };
}

/** Users before evaluations, then earliest deadline first, then order of arrival. */
export function urgency(a: BatchRow, b: BatchRow): number {
  if (a.priority !== b.priority) return a.priority === 'user' ? -1 : 1;
  return a.dueByMs - b.dueByMs || a.arrival - b.arrival;
}

export interface Batch {
  readonly versionKey: string;
  readonly keys: readonly string[];
}

/**
 * The next call: the most urgent row that is due decides the version, the most urgent rows of that version fill the call.
 * @param maxRows largest batch size of a version
 * @returns the state with the chosen rows in flight, and the call; no call when no row is due
 */
export function nextBatch(
  state: BatchingState,
  maxRows: (versionKey: string) => number,
): { readonly state: BatchingState; readonly batch?: Batch } {
  const due = [...state.rows.values()].filter((row) => !row.inFlight).sort(urgency);
  const first = due[0];
  if (first === undefined) return { state };
  const chosen = due.filter((row) => row.versionKey === first.versionKey).slice(0, maxRows(first.versionKey));
  const rows = new Map(state.rows);
  for (const row of chosen) rows.set(row.key, { ...row, inFlight: true });
  return { state: { rows }, batch: { versionKey: first.versionKey, keys: chosen.map((row) => row.key) } };
}

/** The smallest of `sizes` (ascending) that holds `rows` rows; the largest when none does. */
export function paddedSize(sizes: readonly number[], rows: number): number {
  return sizes.find((size) => size >= rows) ?? sizes[sizes.length - 1]!;
}
