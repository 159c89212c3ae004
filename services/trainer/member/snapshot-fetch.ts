/** Takes the state of another trainer: ask, choose a donor, collect ranges of one boundary, verify (rules 15 and 17). */
import { sha256Hex, type BulkFrame, type StateHead } from '@thaw/shared/protocol';
import type { Layout } from '../reduce/index.js';
import type { LoadedState, TrainingArrays } from './events.js';
import { rangesPerRequest } from './snapshot-donor.js';
import { emptyArrays, type StateRanges } from './state-ranges.js';

interface Fetch {
  readonly donor: string;
  /** Boundary of the ranges staged so far; a newer one from the donor replaces them all. */
  step: number;
  historyDigest: string;
  head: StateHead | undefined;
  arrays: TrainingArrays;
  readonly received: Uint8Array;
  missing: number;
  lastNewsMs: number;
  retries: number;
}

/** What the trainer has to do next. */
export type FetchWork =
  | { readonly kind: 'askAll' }
  /** Ranges [first, first + count) of boundary `step` or a newer one, from `donor`. */
  | {
      readonly kind: 'request';
      readonly donor: string;
      readonly step: number;
      readonly first: number;
      readonly count: number;
    }
  /** Nobody offered anything. */
  | { readonly kind: 'nobody' };

const retriesPerDonor = 3;

export class SnapshotFetch {
  private readonly layout: Layout;
  private readonly ranges: StateRanges;
  private readonly offerMs: number;
  private readonly wantMs: number;
  private askedMs: number | undefined;
  private fetch: Fetch | undefined;

  constructor(layout: Layout, ranges: StateRanges, offerMs: number, wantMs: number) {
    this.layout = layout;
    this.ranges = ranges;
    this.offerMs = offerMs;
    this.wantMs = wantMs;
  }

  /** A transfer is under way. */
  get fetching(): boolean {
    return this.fetch !== undefined;
  }
  get idle(): boolean {
    return this.fetch === undefined && this.askedMs === undefined;
  }
  /** Boundary being fetched; -1 when none. */
  get step(): number {
    return this.fetch?.step ?? -1;
  }

  /** Looks for a donor. */
  ask(nowMs: number): FetchWork[] {
    if (!this.idle) return [];
    this.askedMs = nowMs;
    return [{ kind: 'askAll' }];
  }

  /** Own state is as new as what was being fetched. */
  cancelUpTo(step: number): void {
    if (this.fetch !== undefined && this.fetch.step <= step) this.fetch = undefined;
    this.askedMs = undefined;
  }

  /** `donor` holds boundary `step`, newer than one's own. */
  offered(donor: string, step: number, nowMs: number): FetchWork[] {
    this.askedMs = undefined;
    if (this.fetch !== undefined) return [];
    this.fetch = {
      donor,
      step,
      historyDigest: '',
      head: undefined,
      arrays: emptyArrays(this.layout),
      received: new Uint8Array(this.ranges.count),
      missing: this.ranges.count,
      lastNewsMs: nowMs,
      retries: 0,
    };
    return this.next(this.fetch);
  }

  /** A range. Returns the whole state when it was the last one missing. */
  range(frame: BulkFrame, nowMs: number): { readonly work: FetchWork[]; readonly state?: LoadedState } {
    const fetch = this.fetch;
    if (
      fetch === undefined ||
      frame.source !== fetch.donor ||
      frame.step < fetch.step ||
      frame.chunk >= this.ranges.count
    )
      return { work: [] };
    if (sha256Hex(frame.data) !== frame.dataDigest) return { work: [] };
    // Ranges of different boundaries are never combined: a newer one starts over.
    if (frame.step > fetch.step || (fetch.historyDigest !== '' && frame.historyDigest !== fetch.historyDigest)) {
      fetch.received.fill(0);
      fetch.missing = this.ranges.count;
    }
    fetch.step = frame.step;
    fetch.historyDigest = frame.historyDigest;
    if (fetch.received[frame.chunk]) return { work: [] };
    const head = this.ranges.place(frame.chunk, frame.data, fetch.arrays, frame.step, frame.historyDigest);
    if (head !== undefined) fetch.head = head;
    fetch.received[frame.chunk] = 1;
    fetch.missing--;
    fetch.lastNewsMs = nowMs;
    fetch.retries = 0;
    if (fetch.missing === 0) {
      this.fetch = undefined;
      return { work: [], state: { head: fetch.head!, arrays: fetch.arrays } };
    }
    const first = frame.chunk - (frame.chunk % rangesPerRequest);
    const batchDone = fetch.received.subarray(first, first + rangesPerRequest).every((received) => received === 1);
    return { work: batchDone ? this.next(fetch) : [] };
  }

  tick(nowMs: number): FetchWork[] {
    if (this.askedMs !== undefined && nowMs - this.askedMs >= this.offerMs) {
      this.askedMs = undefined;
      return [{ kind: 'nobody' }];
    }
    const fetch = this.fetch;
    if (fetch === undefined || nowMs - fetch.lastNewsMs < this.wantMs) return [];
    fetch.lastNewsMs = nowMs;
    if (++fetch.retries <= retriesPerDonor) return this.next(fetch);
    this.fetch = undefined;
    return this.ask(nowMs);
  }

  /** The first batch with a missing range. */
  private next(fetch: Fetch): FetchWork[] {
    let first = 0;
    while (fetch.received[first]) first++;
    first -= first % rangesPerRequest;
    return [
      {
        kind: 'request',
        donor: fetch.donor,
        step: fetch.step,
        first,
        count: Math.min(rangesPerRequest, this.ranges.count - first),
      },
    ];
  }
}
