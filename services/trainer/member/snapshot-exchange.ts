/** Both sides of a snapshot, as frames: asking for state and giving it away (rules 15 to 17). */
import { ThawError, type BulkFrame } from '@thaw/shared/protocol';
import type { LoadedState, TrainerOptions } from './events.js';
import type { Outbox } from './outbox.js';
import { rangesPerRequest, SnapshotDonor } from './snapshot-donor.js';
import { SnapshotFetch, type FetchWork } from './snapshot-fetch.js';
import { StateRanges } from './state-ranges.js';
import type { TrainingState } from './training-state.js';

export class SnapshotExchange {
  private readonly out: Outbox;
  private readonly state: TrainingState;
  private readonly donor: SnapshotDonor;
  private readonly fetch: SnapshotFetch;
  private loading = false;

  constructor({ layout, timings }: TrainerOptions, state: TrainingState, out: Outbox) {
    this.out = out;
    this.state = state;
    const ranges = new StateRanges(layout);
    this.donor = new SnapshotDonor(ranges, 8 * timings.wantMs);
    this.fetch = new SnapshotFetch(layout, ranges, timings.offerMs, timings.wantMs);
  }

  get fetching(): boolean {
    return this.fetch.fetching;
  }
  /** Boundary being fetched; -1 when none. */
  get step(): number {
    return this.fetch.step;
  }

  ask(nowMs: number): void {
    this.perform(this.fetch.ask(nowMs));
  }
  /** The state loaded from the store, or the failure, has come. */
  loaded(): void {
    this.loading = false;
  }
  /** The own state is at this boundary now. */
  reached(step: number): void {
    this.fetch.cancelUpTo(step);
  }
  tick(nowMs: number): void {
    this.donor.expire(nowMs);
    this.perform(this.fetch.tick(nowMs));
    if (this.state.head === undefined && this.fetch.idle && !this.loading) this.ask(nowMs);
  }

  /** Tells an asker that there is newer state here. */
  offer(to: string): void {
    const head = this.state.head!;
    this.out.send({ id: to }, { type: 'offer', kind: 'none', step: head.step, historyDigest: head.historyDigest });
  }
  offered(f: BulkFrame, nowMs: number): void {
    if (f.step > this.state.step) this.perform(this.fetch.offered(f.source, f.step, nowMs));
  }

  requested(f: BulkFrame, nowMs: number): void {
    const { head, arrays } = this.state;
    const copy = head && this.donor.serve(f.step, f.chunk, head, arrays, nowMs);
    if (copy === undefined) return;
    const { step, historyDigest } = copy.head;
    const end = Math.min(f.chunk + Math.min(f.count, rangesPerRequest), this.donor.rangeCount);
    for (let index = f.chunk; index < end; index++) {
      const content = this.donor.read(index, copy);
      this.out.send({ id: f.source }, { type: 'range', kind: 'none', step, chunk: index, historyDigest, ...content });
    }
  }

  /** Returns a whole state, newer than the own one, when this was its last range. */
  range(f: BulkFrame, nowMs: number): LoadedState | undefined {
    try {
      const { work, state } = this.fetch.range(f, nowMs);
      this.perform(work);
      return state !== undefined && state.head.step > this.state.step ? state : undefined;
    } catch (error) {
      if (!(error instanceof ThawError)) throw error;
      this.out.alarm(error.code, error.message);
      return undefined;
    }
  }

  private perform(work: readonly FetchWork[]): void {
    for (const item of work) {
      if (item.kind === 'askAll') this.out.send('all', { type: 'want', kind: 'wantState', step: this.state.step + 1 });
      else if (item.kind === 'request') {
        const { step, first, count } = item;
        this.out.send({ id: item.donor }, { type: 'request', kind: 'none', step, chunk: first, count });
      } else if (this.state.head === undefined && !this.loading) {
        // Rule 16: nobody holds anything.
        this.loading = true;
        this.out.push({ kind: 'loadState' });
      }
    }
  }
}
