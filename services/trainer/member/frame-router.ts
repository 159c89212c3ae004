/** Where a bulk frame goes: by step, generation and history. */
import { decodeFrame, ThawError, type BulkFrame } from '@thaw/shared/protocol';
import { EarlyFrames, earlySteps } from './early-frames.js';
import type { LoadedState, TrainerOptions } from './events.js';
import type { Outbox } from './outbox.js';
import type { SnapshotExchange } from './snapshot-exchange.js';
import type { StepWork } from './step-work.js';
import type { TrainingState } from './training-state.js';

/** Frames that came too early are kept up to this size. */
const earlyBytes = 512 << 20;

export interface FrameParts {
  readonly options: TrainerOptions;
  readonly state: TrainingState;
  readonly work: StepWork;
  readonly snapshots: SnapshotExchange;
  readonly out: Outbox;
}

/** What a frame may lead to outside the step's work. */
export interface FrameNews {
  /** Something new came in. */
  readonly progress: () => void;
  /** Somebody has a newer plan. */
  readonly newerPlan: () => void;
  readonly take: (state: LoadedState) => void;
}

export class FrameRouter {
  private readonly parts: FrameParts;
  private readonly news: FrameNews;
  private readonly early: EarlyFrames;
  private seen = 0;

  constructor(parts: FrameParts, news: FrameNews) {
    this.parts = parts;
    this.news = news;
    const { valueCount } = parts.options.layout;
    this.early = new EarlyFrames(Math.min(earlySteps * 8 * valueCount, earlyBytes) + (1 << 20));
  }

  /** Highest step that anybody is known to be at. */
  get seenStep(): number {
    return this.seen;
  }
  sees(step: number): void {
    this.seen = Math.max(this.seen, step);
  }

  /** @param bytes from anybody; copied if kept */
  receive(bytes: Uint8Array, nowMs: number): void {
    const { options, work, out } = this.parts;
    let f: BulkFrame;
    try {
      f = decodeFrame(bytes);
    } catch (error) {
      const problem = error instanceof ThawError ? error.message : 'A bulk frame could not be read.';
      return out.alarm('THAW_PROTOCOL_INVALID', problem);
    }
    if (f.run !== out.runHash || f.source === options.id) return;
    if (f.generation > work.generation) this.news.newerPlan();
    this.route(f, () => decodeFrame(bytes.slice()), nowMs);
  }

  /** The boundary or the plan has changed: what was early may be due. */
  replay(nowMs: number): void {
    if (this.early.size === 0) return;
    for (const f of this.early.takeAll()) if (f.step >= this.parts.state.step) this.route(f, () => f, nowMs);
  }

  /** @param keep makes a copy that may be kept */
  private route(f: BulkFrame, keep: () => BulkFrame, nowMs: number): void {
    const { options, state, work, snapshots } = this.parts;
    const { step } = state;
    switch (f.type) {
      case 'contribution':
      case 'raise':
        this.sees(f.step);
        if (f.step > step || (f.step === step && f.generation > work.generation)) return this.hold(f, keep);
        // While the state changes this step is over, or about to be: its base exponents may be another boundary's already.
        if (state.changing || f.step < step || f.generation !== work.generation) return;
        if (f.chunk >= options.layout.chunkCount || !this.sameHistory(f)) return;
        return f.type === 'raise' ? work.raise(f) : work.contribution(f);
      case 'total':
        this.sees(f.step);
        if (f.step > step) return this.hold(f, keep);
        if (f.step === step && f.chunk < options.layout.chunkCount && this.sameHistory(f) && work.total(f))
          this.news.progress();
        return;
      case 'want':
        return this.wanted(f);
      case 'offer':
        this.sees(f.step);
        return snapshots.offered(f, nowMs);
      case 'request':
        return snapshots.requested(f, nowMs);
      case 'range': {
        const taken = snapshots.range(f, nowMs);
        if (taken !== undefined) this.news.take(taken);
        return;
      }
    }
  }

  private hold(f: BulkFrame, keep: () => BulkFrame): void {
    const { state, snapshots } = this.parts;
    const base = Math.max(state.step, snapshots.step);
    if ((state.step >= 0 || snapshots.fetching || state.changing) && f.step <= base + earlySteps)
      this.early.hold(keep());
  }

  /** Refuses what was computed after another past: a broken assumption gets a name instead of wrong weights. */
  private sameHistory(f: BulkFrame): boolean {
    const own = this.parts.state.head!.historyDigest;
    if (f.historyDigest === own) return true;
    this.parts.out.alarm(
      'THAW_HISTORY_DIVERGED',
      `A ${f.type} of step ${f.step} from ${f.source} follows history ${f.historyDigest}, this trainer's is ${own}.`,
    );
    return false;
  }

  private wanted(f: BulkFrame): void {
    const { state, work, snapshots } = this.parts;
    const { head } = state;
    if (head === undefined) return;
    if (f.kind === 'wantState') {
      if (head.step >= f.step) snapshots.offer(f.source);
      return;
    }
    if (f.kind === 'wantContribution' && f.step === head.step) {
      if (f.generation === work.generation && !state.changing) work.answerContributions(f.items);
      return;
    }
    if (work.answerTotals(f.step, f.items, f.source, state.previousHistoryDigest) === 'gone') snapshots.offer(f.source);
  }
}
