/**
 * The trainer as a pure machine: `handle(event, nowMs)` returns effects. It knows no clock, no network and no engine. Rules by number: see
 * shared/protocol/PROTOCOL.md.
 */
import {
  decodeFrame,
  ThawError,
  type AcceptedAnswer,
  type BulkFrame,
  type Heartbeat,
  type LeaseHandOut,
  type Plan,
  type StepResult,
} from '@thaw/shared/protocol';
import { CheckpointCopy } from './checkpoint-copy.js';
import { EarlyFrames, earlySteps } from './early-frames.js';
import type { LoadedState, TrainerEffect, TrainerEvent, TrainerOptions } from './events.js';
import { Outbox } from './outbox.js';
import { rangesPerRequest, SnapshotDonor } from './snapshot-donor.js';
import { SnapshotFetch, type FetchWork } from './snapshot-fetch.js';
import { StateRanges } from './state-ranges.js';
import { StepWork } from './step-work.js';
import { TrainingState } from './training-state.js';

/** Step results kept for a leader that is away. */
const keptResults = 1024;
const resultsPerReport = 256;
const resultsWithStep = 4;
/** Frames that came too early are kept up to this size. */
const earlyBytes = 512 << 20;

export class Trainer {
  protected readonly options: TrainerOptions;
  protected readonly out: Outbox;
  protected readonly state: TrainingState;
  protected readonly work: StepWork;
  private readonly early: EarlyFrames;
  private readonly donor: SnapshotDonor;
  private readonly fetch: SnapshotFetch;

  private nowMs = 0;
  /** Of anything that brought this trainer further. */
  private progressMs = 0;
  private wantedMs = 0;
  private wantAttempt = 0;
  private heartbeatMs = -Infinity;
  private heartbeatDue = false;
  private planAskedMs = -Infinity;
  private planAwaited = false;
  private loading = false;
  private seenStep = 0;
  private laneMs: number | null = null;
  private leases: Heartbeat['leases'] = null;
  private leasesAhead: LeaseHandOut | undefined;
  private copy: CheckpointCopy | undefined;
  /** A copy was ordered in this event: nothing may change the state before the shell has made it. */
  private copyOrdered = false;
  private results: { readonly result: StepResult; readonly appliedMs: number }[] = [];
  private reportedThrough = 0;
  private leavingMs: number | undefined;
  private resting = false;
  private endAnnounced = false;
  private gone = false;

  constructor(options: TrainerOptions) {
    this.options = options;
    this.out = new Outbox(options.run, options.id);
    this.state = this.createState();
    this.work = this.createWork();
    const { layout, timings } = options;
    const ranges = new StateRanges(layout);
    this.early = new EarlyFrames(Math.min(earlySteps * 8 * layout.valueCount, earlyBytes) + (1 << 20));
    this.donor = new SnapshotDonor(ranges, 8 * timings.wantMs);
    this.fetch = new SnapshotFetch(layout, ranges, timings.offerMs, timings.wantMs);
  }

  /** Seams for tests that break one rule. */
  protected createState(): TrainingState {
    return new TrainingState(this.options);
  }
  protected createWork(): StepWork {
    return new StepWork(this.options, this.state, this.out);
  }

  /** Boundary held; -1 without state. */
  get step(): number {
    return this.state.step;
  }
  get plan(): Plan | undefined {
    return this.work.plan;
  }

  /** @param nowMs the process's monotonic clock; never goes back */
  handle(event: TrainerEvent, nowMs: number): TrainerEffect[] {
    if (this.gone) return [];
    this.nowMs = nowMs;
    this.copyOrdered = false;
    this.dispatch(event);
    this.advance();
    if (this.heartbeatDue && !this.gone) this.sendHeartbeat();
    return this.out.takeAll();
  }

  private dispatch(event: TrainerEvent): void {
    switch (event.kind) {
      case 'start':
        this.progress();
        this.heartbeatDue = true;
        this.perform(this.fetch.ask(this.nowMs));
        return;
      case 'tick':
        return this.tick();
      case 'laneDone':
        if (this.work.laneDone(event.step, event.lane, event.loss, event.gradient)) {
          this.laneMs = this.laneMs === null ? event.computeMs : 0.8 * this.laneMs + 0.2 * event.computeMs;
          this.progress();
        }
        return;
      case 'laneFailed':
        this.out.alarm(
          'THAW_INTERNAL',
          `Lane ${event.lane} of step ${event.step} could not be computed: ${event.message}`,
        );
        return this.work.laneFailed(event.step, event.lane);
      case 'frame':
        return this.frameBytes(event.bytes);
      case 'planRead':
        this.planAwaited = false;
        if (event.plan !== undefined) this.adopt(event.plan);
        return;
      case 'announcement':
        this.adopt(event.announcement.plan);
        return this.checkpointNews(event.announcement.checkpoint);
      case 'heartbeatAnswer':
        if (event.answer.kind === 'accepted') return this.answered(event.answer);
        this.out.push({ kind: 'refused', code: event.answer.code, message: event.answer.message });
        this.gone = true;
        return;
      case 'leases':
        if (event.handOut.run === this.options.run && event.handOut.to === this.options.id)
          this.holdLeases(event.handOut);
        return;
      case 'stateLoaded':
        this.loading = false;
        if (event.state.head.step > this.state.step) this.take(event.state, 'checkpoint');
        return;
      case 'stateLoadFailed':
        this.loading = false;
        return this.out.alarm('THAW_INTERNAL', `No state could be loaded: ${event.message}`);
      case 'sliceWritten':
      case 'sliceDigested':
      case 'sliceFailed':
        return this.sliceDone(event);
      case 'leave':
        this.leavingMs ??= this.nowMs;
        this.heartbeatDue = true;
        return;
    }
  }

  // ---- the step ---------------------------------------------------------------------------------------------------------

  /** All steps done, halted, or asked to rest: keeps and donates its state, computes nothing. */
  private get still(): boolean {
    const { head } = this.state;
    return (
      head === undefined ||
      this.resting ||
      head.step >= this.options.steps ||
      head.skippedInARow >= this.options.maxSkippedSteps
    );
  }

  /** Goes as far as what is here allows. */
  private advance(): void {
    while (!this.still && !this.gone) {
      if (this.state.totals.complete) {
        if (this.copyOrdered) return;
        this.apply();
      } else if (!this.work.contribute()) {
        this.work.requestLanes();
        return;
      }
    }
  }

  private apply(): void {
    const result = this.state.apply();
    const head = this.state.head!;
    this.progress();
    this.out.push({ kind: 'stepApplied', result, head });
    this.results.push({ result, appliedMs: this.nowMs });
    if (this.results.length > keptResults) this.results.shift();
    this.atBoundary();
    this.report();
    this.replayEarly();
  }

  /** The state has become another boundary's. */
  private atBoundary(): void {
    const head = this.state.head!;
    const { step } = head;
    this.work.beginStep();
    this.fetch.cancelUpTo(step);
    this.seenStep = Math.max(this.seenStep, step);
    const stale = this.copy !== undefined && this.nowMs - this.copy.sinceMs > this.options.timings.checkpointMs;
    if (
      (step % this.options.checkpointEverySteps === 0 || step === this.options.steps) &&
      step > 0 &&
      (this.copy === undefined || stale)
    )
      this.orderCopy();
    if (this.endAnnounced) return;
    if (head.skippedInARow >= this.options.maxSkippedSteps) {
      this.out.push({ kind: 'halted', step, reason: this.haltReason(head.skippedInARow) });
      this.endAnnounced = true;
      this.heartbeatDue = true;
    } else if (step >= this.options.steps) {
      this.out.push({ kind: 'finished', step });
      this.endAnnounced = true;
      this.heartbeatDue = true;
    }
  }
  private haltReason = (skipped: number): string =>
    `${skipped} steps in a row had gradients or losses that are not finite.`;

  private take(state: LoadedState, from: 'checkpoint' | 'snapshot'): void {
    this.state.install(state);
    this.progress();
    this.out.push({ kind: 'stateTaken', head: state.head, from });
    this.heartbeatDue = true;
    this.atBoundary();
    this.replayEarly();
  }

  /** The owner of chunk 0 reports every step at once, with a few before it that may have been lost. */
  private report(): void {
    if (this.work.plan?.members[0]?.id === this.options.id) this.sendResults(this.results.slice(-resultsWithStep));
  }
  /** Whatever the leader has not acknowledged for a while is reported by everybody: the one who should have may be dead. */
  private reportAgain(): void {
    const before = this.nowMs - 2 * this.options.timings.heartbeatMs;
    this.sendResults(this.results.filter(({ appliedMs }) => appliedMs <= before));
  }
  private sendResults(from: typeof this.results): void {
    const results = from.map(({ result }) => result).filter(({ step }) => step >= this.reportedThrough);
    if (results.length === 0) return;
    this.out.push({
      kind: 'stepReport',
      message: { run: this.options.run, id: this.options.id, results: results.slice(0, resultsPerReport) },
    });
  }

  // ---- plan, heartbeat --------------------------------------------------------------------------------------------------

  private adopt(plan: Plan): void {
    if (
      plan.run !== this.options.run ||
      plan.laneCount !== this.options.laneCount ||
      plan.generation <= this.work.generation
    )
      return;
    this.work.adopt(plan);
    this.progress();
    if (this.leasesAhead !== undefined) this.holdLeases(this.leasesAhead);
    this.heartbeatDue = true;
    if (this.leavingMs !== undefined && this.work.lanes.length === 0) return this.go();
    this.replayEarly();
  }

  private readPlan(): void {
    if (this.planAwaited && this.nowMs - this.planAskedMs < 4 * this.options.timings.stallMs) return;
    this.planAwaited = true;
    this.planAskedMs = this.nowMs;
    this.out.push({ kind: 'readPlan' });
  }

  private sendHeartbeat(): void {
    this.heartbeatDue = false;
    this.heartbeatMs = this.nowMs;
    const { head } = this.state;
    const { run, id, fingerprint, maxSkippedSteps } = this.options;
    const halted = head !== undefined && head.skippedInARow >= maxSkippedSteps;
    this.out.push({
      kind: 'heartbeat',
      message: {
        run,
        id,
        fingerprint,
        generation: this.work.generation,
        step: head?.step ?? null,
        caughtUp: head !== undefined && !this.fetch.fetching && head.step >= this.seenStep - 1,
        leaving: this.leavingMs !== undefined,
        laneMs: this.laneMs,
        leases: this.leases,
        checkpoint: this.copy?.describe() ?? null,
        halted: halted ? { step: head.step, reason: this.haltReason(head.skippedInARow) } : null,
      },
    });
  }

  private answered(answer: AcceptedAnswer): void {
    this.adopt(answer.plan);
    if (this.gone) return;
    this.seenStep = Math.max(this.seenStep, answer.maxStep);
    this.reportedThrough = answer.reportedThrough;
    if (answer.leases !== null) this.holdLeases(answer.leases);
    this.checkpointNews(answer.checkpoint);
    if (this.leavingMs !== undefined) {
      if (answer.standing === 'released') return this.go();
      if (answer.standing === 'last' && !this.resting && this.state.head !== undefined) {
        this.resting = true;
        this.work.rest();
      } else if (answer.standing !== 'last') this.resting = false;
    }
    const { head } = this.state;
    if (head !== undefined) this.copyIfWanted(head.step, answer.checkpoint);
    const { duty } = answer.checkpoint;
    if (duty !== null && this.copy?.head.step === duty.step)
      for (const item of this.copy.accept(duty)) this.out.push({ ...item, step: duty.step });
  }

  /** Leases belong to one generation; those of a plan not heard of yet wait for it, those of an older one are void. */
  private holdLeases(handOut: LeaseHandOut): void {
    const { generation } = this.work;
    if (handOut.generation > generation) this.leasesAhead = handOut;
    if (handOut.generation !== generation) return;
    this.leases = { generation, throughStep: handOut.throughStep };
    this.out.push({ kind: 'holdLeases', leases: handOut.leases });
  }

  private go(): void {
    this.gone = true;
    this.out.push({ kind: 'left' });
  }

  // ---- checkpoints ------------------------------------------------------------------------------------------------------

  private orderCopy(): void {
    const head = this.state.head!;
    this.copy = new CheckpointCopy(head, this.nowMs);
    this.copyOrdered = true;
    this.heartbeatDue = true;
    this.out.push({ kind: 'copyState', head });
  }

  /** Apart from the boundaries that every member copies: the end of the run, and where the last trainer rests. */
  private copyIfWanted(step: number, { wantedStep, committedStep, abandonedStep }: AcceptedAnswer['checkpoint']): void {
    if (step === 0 || (wantedStep !== step && !this.resting)) return;
    // What the leader has settled is not begun again: it would be dropped at once.
    if (step <= (committedStep ?? -1) || step <= (abandonedStep ?? -1)) return;
    if (this.copy === undefined || (this.resting && this.copy.head.step < step)) this.orderCopy();
  }

  private checkpointNews({
    committedStep,
    abandonedStep,
  }: AcceptedAnswer['checkpoint'] | { committedStep: number | null; abandonedStep: number | null }): void {
    if (this.copy === undefined) return;
    const { step } = this.copy.head;
    if (step > (committedStep ?? -1) && step > (abandonedStep ?? -1)) return;
    this.copy = undefined;
    this.out.push({ kind: 'dropCopy', step });
  }

  private sliceDone(event: Extract<TrainerEvent, { kind: 'sliceWritten' | 'sliceDigested' | 'sliceFailed' }>): void {
    if (this.copy?.head.step !== event.step) return;
    if (event.kind === 'sliceFailed') {
      this.copy.fail(event.slice);
      return this.out.alarm(
        'THAW_INTERNAL',
        `Slice ${event.slice} of the checkpoint at step ${event.step} failed: ${event.message}`,
      );
    }
    const digest = { slice: event.slice, sha256: event.sha256, bytes: event.bytes };
    if (event.kind === 'sliceWritten') this.copy.finishWrite(digest, event.readBack);
    else this.copy.finishDigest(digest);
    this.heartbeatDue = true;
  }

  // ---- frames -----------------------------------------------------------------------------------------------------------

  private frameBytes(bytes: Uint8Array): void {
    let f: BulkFrame;
    try {
      f = decodeFrame(bytes);
    } catch (error) {
      return this.out.alarm(
        'THAW_PROTOCOL_INVALID',
        error instanceof ThawError ? error.message : 'A bulk frame could not be read.',
      );
    }
    if (f.run !== this.out.runHash || f.source === this.options.id) return;
    if (f.generation > this.work.generation) this.readPlan();
    this.frame(f, () => decodeFrame(bytes.slice()));
  }

  /** @param keep makes a copy that may be kept */
  private frame(f: BulkFrame, keep: () => BulkFrame): void {
    const { step } = this.state;
    switch (f.type) {
      case 'contribution':
      case 'raise':
        this.seenStep = Math.max(this.seenStep, f.step);
        if (f.step > step || (f.step === step && f.generation > this.work.generation)) return this.holdEarly(f, keep);
        if (
          f.step < step ||
          f.generation !== this.work.generation ||
          f.chunk >= this.options.layout.chunkCount ||
          !this.sameHistory(f)
        )
          return;
        return f.type === 'raise' ? this.work.raise(f) : this.work.contribution(f);
      case 'total':
        this.seenStep = Math.max(this.seenStep, f.step);
        if (f.step > step) return this.holdEarly(f, keep);
        if (f.step === step && f.chunk < this.options.layout.chunkCount && this.sameHistory(f) && this.work.total(f))
          this.progress();
        return;
      case 'want':
        return this.wanted(f);
      case 'offer':
        this.seenStep = Math.max(this.seenStep, f.step);
        if (f.step > step) this.perform(this.fetch.offered(f.source, f.step, this.nowMs));
        return;
      case 'request':
        return this.requested(f);
      case 'range':
        return this.range(f);
    }
  }

  private holdEarly(f: BulkFrame, keep: () => BulkFrame): void {
    const base = Math.max(this.state.step, this.fetch.step);
    if ((this.state.step >= 0 || this.fetch.fetching) && f.step <= base + earlySteps) this.early.hold(keep());
  }

  private replayEarly(): void {
    if (this.early.size === 0) return;
    for (const f of this.early.takeAll()) if (f.step >= this.state.step) this.frame(f, () => f);
  }

  /** Refuses what was computed after another past: a broken assumption gets a name instead of wrong weights. */
  private sameHistory(f: BulkFrame): boolean {
    const own = this.state.head!.historyDigest;
    if (f.historyDigest === own) return true;
    this.out.alarm(
      'THAW_HISTORY_DIVERGED',
      `A ${f.type} of step ${f.step} from ${f.source} follows history ${f.historyDigest}, this trainer's is ${own}.`,
    );
    return false;
  }

  private wanted(f: BulkFrame): void {
    const { head } = this.state;
    if (head === undefined) return;
    if (f.kind === 'wantState') {
      if (head.step >= f.step) this.offer(f.source);
      return;
    }
    if (f.kind === 'wantContribution' && f.step === head.step) {
      if (f.generation === this.work.generation) this.work.answerContributions(f.items);
      return;
    }
    if (this.work.answerTotals(f.step, f.items, f.source, this.state.previousHistoryDigest) === 'gone')
      this.offer(f.source);
  }

  private offer(to: string): void {
    const head = this.state.head!;
    this.out.send({ id: to }, { type: 'offer', kind: 'none', step: head.step, historyDigest: head.historyDigest });
  }

  private requested(f: BulkFrame): void {
    const { head, arrays } = this.state;
    if (head === undefined) return;
    const copy = this.donor.serve(f.step, f.chunk, head, arrays, this.nowMs);
    if (copy === undefined) return;
    const end = Math.min(f.chunk + Math.min(f.count, rangesPerRequest), this.donor.rangeCount);
    for (let index = f.chunk; index < end; index++) {
      const { data, dataDigest } = this.donor.read(index, copy);
      const { step, historyDigest } = copy.head;
      this.out.send(
        { id: f.source },
        { type: 'range', kind: 'none', step, chunk: index, historyDigest, dataDigest, data },
      );
    }
  }

  private range(f: BulkFrame): void {
    let taken: ReturnType<SnapshotFetch['range']>;
    try {
      taken = this.fetch.range(f, this.nowMs);
    } catch (error) {
      return this.out.alarm(
        'THAW_PROTOCOL_INVALID',
        error instanceof ThawError ? error.message : 'A range could not be used.',
      );
    }
    this.perform(taken.work);
    if (taken.state !== undefined && taken.state.head.step > this.state.step) this.take(taken.state, 'snapshot');
  }

  private perform(work: readonly FetchWork[]): void {
    for (const item of work) {
      if (item.kind === 'askAll') this.out.send('all', { type: 'want', kind: 'wantState', step: this.state.step + 1 });
      else if (item.kind === 'request')
        this.out.send(
          { id: item.donor },
          { type: 'request', kind: 'none', step: item.step, chunk: item.first, count: item.count },
        );
      else if (this.state.head === undefined && !this.loading) {
        // Rule 16: nobody holds anything.
        this.loading = true;
        this.out.push({ kind: 'loadState' });
      }
    }
  }

  // ---- time -------------------------------------------------------------------------------------------------------------

  private progress(): void {
    this.progressMs = this.nowMs;
    this.wantAttempt = 0;
  }

  private tick(): void {
    const { timings } = this.options;
    if (this.leavingMs !== undefined && this.nowMs - this.leavingMs >= timings.leaveMs) return this.go();
    if (this.nowMs - this.heartbeatMs >= timings.heartbeatMs) {
      this.heartbeatDue = true;
      this.reportAgain();
    }
    this.work.retryFailed();
    this.donor.expire(this.nowMs);
    this.perform(this.fetch.tick(this.nowMs));
    if (this.state.head === undefined && this.fetch.idle && !this.loading) this.perform(this.fetch.ask(this.nowMs));
    if (this.still && this.state.head !== undefined) return;
    if (this.nowMs - Math.max(this.progressMs, this.planAskedMs) >= timings.stallMs) this.readPlan();
    // Waits twice as long after every fruitless round of asking, up to eight times.
    const waitMs = timings.wantMs * Math.min(8, 2 ** Math.floor(this.wantAttempt / 3));
    if (this.state.head === undefined || this.nowMs - Math.max(this.progressMs, this.wantedMs) < waitMs) return;
    this.wantedMs = this.nowMs;
    this.work.want(this.wantAttempt++);
  }
}
