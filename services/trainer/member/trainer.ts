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
import { CheckpointDuties } from './checkpoint-duties.js';
import { EarlyFrames, earlySteps } from './early-frames.js';
import type { LoadedState, TrainerEffect, TrainerEvent, TrainerOptions } from './events.js';
import { Outbox } from './outbox.js';
import { ResultReports } from './result-reports.js';
import { SnapshotExchange } from './snapshot-exchange.js';
import { StepWork } from './step-work.js';
import { TrainingState } from './training-state.js';

/** Frames that came too early are kept up to this size. */
const earlyBytes = 512 << 20;

export class Trainer {
  protected readonly options: TrainerOptions;
  protected readonly out: Outbox;
  protected readonly state: TrainingState;
  protected readonly work: StepWork;
  private readonly early: EarlyFrames;
  private readonly snapshots: SnapshotExchange;
  private readonly checkpoints: CheckpointDuties;
  private readonly reports: ResultReports;

  private nowMs = 0;
  /** Of anything that brought this trainer further. */
  private progressMs = 0;
  private wantedMs = 0;
  private wantAttempt = 0;
  private heartbeatMs = -Infinity;
  private heartbeatDue = false;
  private planAskedMs = -Infinity;
  private planAwaited = false;
  private seenStep = 0;
  private laneMs: number | null = null;
  private leases: Heartbeat['leases'] = null;
  private leasesAhead: LeaseHandOut | undefined;
  /** A copy was ordered in this event: nothing may change the state before the shell has made it. */
  private copyOrdered = false;
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
    this.early = new EarlyFrames(Math.min(earlySteps * 8 * layout.valueCount, earlyBytes) + (1 << 20));
    this.snapshots = new SnapshotExchange(options, this.state, this.out);
    this.checkpoints = new CheckpointDuties(options, this.out);
    this.reports = new ResultReports(2 * timings.heartbeatMs);
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
        return this.snapshots.ask(this.nowMs);
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
        return this.checkpoints.heard(event.announcement.checkpoint);
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
        this.snapshots.loaded();
        if (event.state.head.step > this.state.step) this.take(event.state, 'checkpoint');
        return;
      case 'stateLoadFailed':
        this.snapshots.loaded();
        return this.out.alarm('THAW_INTERNAL', `No state could be loaded: ${event.message}`);
      case 'sliceWritten':
      case 'sliceDigested':
      case 'sliceFailed':
        if (this.checkpoints.sliceDone(event)) this.heartbeatDue = true;
        return;
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
    const result = this.state.apply(Infinity)!;
    const head = this.state.head!;
    this.progress();
    this.out.push({ kind: 'stepApplied', result, head });
    this.reports.add(result, this.nowMs);
    this.atBoundary();
    if (this.work.plan?.members[0]?.id === this.options.id) this.report(this.reports.newest());
    this.replayEarly();
  }

  /** The state has become another boundary's. */
  private atBoundary(): void {
    const head = this.state.head!;
    const { step } = head;
    this.work.beginStep();
    this.snapshots.reached(step);
    this.seenStep = Math.max(this.seenStep, step);
    if (this.checkpoints.atBoundary(head, this.nowMs)) this.copyIsOrdered();
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

  /** The owner of chunk 0 reports every step at once; everybody what the leader has not acknowledged for a while, for the owner may be dead. */
  private report(results: StepResult[]): void {
    const { run, id } = this.options;
    if (results.length > 0) this.out.push({ kind: 'stepReport', message: { run, id, results } });
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
        caughtUp: head !== undefined && !this.snapshots.fetching && head.step >= this.seenStep - 1,
        leaving: this.leavingMs !== undefined,
        laneMs: this.laneMs,
        leases: this.leases,
        checkpoint: this.checkpoints.describe(),
        halted: halted ? { step: head.step, reason: this.haltReason(head.skippedInARow) } : null,
      },
    });
  }

  private answered(answer: AcceptedAnswer): void {
    this.adopt(answer.plan);
    if (this.gone) return;
    this.seenStep = Math.max(this.seenStep, answer.maxStep);
    this.reports.acknowledge(answer.reportedThrough);
    if (answer.leases !== null) this.holdLeases(answer.leases);
    this.checkpoints.heard(answer.checkpoint);
    if (this.leavingMs !== undefined) {
      if (answer.standing === 'released') return this.go();
      if (answer.standing === 'last' && !this.resting && this.state.head !== undefined) {
        this.resting = true;
        this.work.rest();
      } else if (answer.standing !== 'last') this.resting = false;
    }
    const { head } = this.state;
    if (head !== undefined && this.checkpoints.wanted(head, this.resting, answer.checkpoint, this.nowMs))
      this.copyIsOrdered();
    this.checkpoints.accept(answer.checkpoint.duty);
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

  private copyIsOrdered(): void {
    this.copyOrdered = true;
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
        return this.snapshots.offered(f, this.nowMs);
      case 'request':
        return this.snapshots.requested(f, this.nowMs);
      case 'range': {
        const state = this.snapshots.range(f, this.nowMs);
        if (state !== undefined) this.take(state, 'snapshot');
        return;
      }
    }
  }

  private holdEarly(f: BulkFrame, keep: () => BulkFrame): void {
    const base = Math.max(this.state.step, this.snapshots.step);
    if ((this.state.step >= 0 || this.snapshots.fetching) && f.step <= base + earlySteps) this.early.hold(keep());
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
      if (head.step >= f.step) this.snapshots.offer(f.source);
      return;
    }
    if (f.kind === 'wantContribution' && f.step === head.step) {
      if (f.generation === this.work.generation) this.work.answerContributions(f.items);
      return;
    }
    if (this.work.answerTotals(f.step, f.items, f.source, this.state.previousHistoryDigest) === 'gone')
      this.snapshots.offer(f.source);
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
      this.report(this.reports.overdue(this.nowMs));
    }
    this.work.retryFailed();
    this.snapshots.tick(this.nowMs);
    if (this.still && this.state.head !== undefined) return;
    if (this.nowMs - Math.max(this.progressMs, this.planAskedMs) >= timings.stallMs) this.readPlan();
    // Waits twice as long after every fruitless round of asking, up to eight times.
    const waitMs = timings.wantMs * Math.min(8, 2 ** Math.floor(this.wantAttempt / 3));
    if (this.state.head === undefined || this.nowMs - Math.max(this.progressMs, this.wantedMs) < waitMs) return;
    this.wantedMs = this.nowMs;
    this.work.want(this.wantAttempt++);
  }
}
