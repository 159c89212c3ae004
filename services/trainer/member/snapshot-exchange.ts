/** Both sides of a snapshot, as frames: asking for state and giving it away (rules 15 to 17). */
import { ThawError, type BulkFrame, type StateHead } from '@thaw/shared/protocol';
import type { LoadedState, TrainerOptions, TrainingArrays } from './events.js';
import type { Outbox } from './outbox.js';
import { rangesPerRequest, SnapshotDonor } from './snapshot-donor.js';
import { SnapshotFetch, type FetchWork } from './snapshot-fetch.js';
import { StateRanges } from './state-ranges.js';
import type { TrainingState } from './training-state.js';

type Request = Pick<BulkFrame, 'source' | 'step' | 'chunk' | 'count'>;
/** Askers that wait for a copy, each with its newest request; more are turned away, and ask again. */
const maxWaiting = 64;

export class SnapshotExchange {
  private readonly out: Outbox;
  private readonly state: TrainingState;
  private readonly donor: SnapshotDonor;
  private readonly fetch: SnapshotFetch;
  private readonly waiting = new Map<string, Request>();
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
    if (this.state.destination < 0 && this.fetch.idle && !this.loading) this.ask(nowMs);
  }

  /** Tells an asker that there is newer state here. */
  offer(to: string): void {
    const head = this.state.head!;
    this.out.send({ id: to }, { type: 'offer', kind: 'none', step: head.step, historyDigest: head.historyDigest });
  }
  offered(f: BulkFrame, nowMs: number): void {
    if (f.step > this.state.destination) this.perform(this.fetch.offered(f.source, f.step, nowMs));
  }

  requested(f: BulkFrame, nowMs: number): void {
    const { source, step, chunk, count } = f;
    this.serve({ source, step, chunk, count }, nowMs);
  }

  /** Somebody waits for a copy of the present boundary. */
  get needsCopy(): boolean {
    return this.waiting.size > 0;
  }
  /** A copy of the present boundary is there; nobody writes to its arrays any more. */
  copied(head: StateHead, arrays: TrainingArrays, nowMs: number): void {
    this.donor.give(head, arrays, nowMs);
    const requests = [...this.waiting.values()];
    this.waiting.clear();
    for (const request of requests) this.serve(request, nowMs);
  }

  private serve(request: Request, nowMs: number): void {
    const { head } = this.state;
    if (head === undefined) return;
    const copy = this.donor.serve(request.step, request.chunk, head.step, nowMs);
    if (copy === undefined) {
      // Asked for more than is here: the asker looks for another donor.
      if (head.step >= request.step && this.waiting.size < maxWaiting) this.waiting.set(request.source, request);
      return;
    }
    const { step, historyDigest } = copy.head;
    const end = Math.min(request.chunk + Math.min(request.count, rangesPerRequest), this.donor.rangeCount);
    for (let index = request.chunk; index < end; index++) {
      const content = this.donor.read(index, copy);
      const fields = { type: 'range', kind: 'none', step, chunk: index, historyDigest, ...content } as const;
      this.out.send({ id: request.source }, fields);
    }
  }

  /** Returns a whole state, newer than the own one, when this was its last range. */
  range(f: BulkFrame, nowMs: number): LoadedState | undefined {
    try {
      const { work, state } = this.fetch.range(f, nowMs);
      this.perform(work);
      return state !== undefined && state.head.step > this.state.destination ? state : undefined;
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
      } else if (this.state.destination < 0 && !this.loading) {
        // Rule 16: nobody holds anything.
        this.loading = true;
        this.out.push({ kind: 'loadState' });
      }
    }
  }
}
