/**
 * The trainer as a pure machine: `handle(event, nowMs)` returns effects. It knows no clock, no network and no engine. Rules by number: see
 * shared/protocol/PROTOCOL.md.
 */
import type { AcceptedAnswer, Plan } from '@thaw/shared/protocol';
import { CheckpointDuties } from './checkpoint-duties.js';
import type { LoadedState, TrainerEffect, TrainerEvent, TrainerOptions } from './events.js';
import { FrameRouter } from './frame-router.js';
import { LeaderLink } from './leader-link.js';
import { Outbox } from './outbox.js';
import { SnapshotExchange } from './snapshot-exchange.js';
import { StateCopy } from './state-copy.js';
import { StepWork } from './step-work.js';
import { TrainingState, type Reached } from './training-state.js';

/** Summing, hashing or applying so many values takes 10 to 20 ms on a core that others want too. */
const defaultSliceValues = 1 << 20;

export class Trainer {
  protected readonly options: TrainerOptions;
  protected readonly out: Outbox;
  protected readonly state: TrainingState;
  protected readonly work: StepWork;
  private readonly frames: FrameRouter;
  private readonly snapshots: SnapshotExchange;
  private readonly checkpoints: CheckpointDuties;
  private readonly leader: LeaderLink;
  private readonly sliceValues: number;

  private nowMs = 0;
  /** Of anything that brought this trainer further. */
  private progressMs = 0;
  private wantedMs = 0;
  private wantAttempt = 0;
  /** Where the state that is being installed comes from. */
  private taking: 'checkpoint' | 'snapshot' = 'checkpoint';
  private copying: StateCopy | undefined;
  private continueAwaited = false;
  /** When the lanes of the coming step could begin; undefined: not all of them could at once, or they are done. */
  private lanesSinceMs: number | undefined;
  private leavingMs: number | undefined;
  private resting = false;
  private endAnnounced = false;
  private gone = false;

  constructor(options: TrainerOptions) {
    this.options = options;
    this.sliceValues = options.sliceValues ?? defaultSliceValues;
    this.out = new Outbox(options.run, options.id);
    this.state = this.createState();
    this.work = this.createWork();
    this.snapshots = new SnapshotExchange(options, this.state, this.out);
    this.checkpoints = new CheckpointDuties(options, this.out);
    this.leader = new LeaderLink(options, this.out);
    const { state, work, snapshots, out } = this;
    this.frames = new FrameRouter(
      { options, state, work, snapshots, out },
      {
        progress: () => this.progress(),
        newerPlan: () => this.leader.readPlan(this.nowMs),
        take: (taken) => this.take(taken, 'snapshot'),
      },
    );
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
  /** The arrays are between two boundaries. */
  get changing(): boolean {
    return this.state.changing;
  }

  /** @param nowMs the process's monotonic clock; never goes back */
  handle(event: TrainerEvent, nowMs: number): TrainerEffect[] {
    if (this.gone) return [];
    this.nowMs = nowMs;
    this.dispatch(event);
    this.advance();
    if (this.leader.due && !this.gone) this.sendHeartbeat();
    return this.out.takeAll();
  }

  private dispatch(event: TrainerEvent): void {
    switch (event.kind) {
      case 'start':
        this.progress();
        this.leader.hasNews();
        return this.snapshots.ask(this.nowMs);
      case 'tick':
        return this.tick();
      case 'continue':
        this.continueAwaited = false;
        return;
      case 'laneDone':
        if (this.work.laneDone(event.step, event.lane, event.loss, event.gradient)) {
          this.measureLanes();
          this.progress();
        }
        return;
      case 'laneFailed': {
        const { step, lane, message } = event;
        this.out.alarm('THAW_INTERNAL', `Lane ${lane} of step ${step} could not be computed: ${message}`);
        return this.work.laneFailed(step, lane);
      }
      case 'frame':
        return this.frames.receive(event.bytes, this.nowMs);
      case 'planRead':
        this.leader.planRead();
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
          this.leader.holdLeases(event.handOut);
        return;
      case 'stateLoaded':
        this.snapshots.loaded();
        if (event.state.head.step > this.state.destination) this.take(event.state, 'checkpoint');
        return;
      case 'stateLoadFailed':
        this.snapshots.loaded();
        return this.out.alarm('THAW_INTERNAL', `No state could be loaded: ${event.message}`);
      case 'sliceWritten':
      case 'sliceDigested':
      case 'sliceFailed':
        if (this.checkpoints.sliceDone(event)) this.leader.hasNews();
        return;
      case 'leave':
        this.leavingMs ??= this.nowMs;
        return this.leader.hasNews();
    }
  }

  /** What a lane costs here: the time of all own lanes of a step, waiting and parallel work included, divided by their number. */
  private measureLanes(): void {
    if (this.lanesSinceMs === undefined || !this.work.lanesDone) return;
    this.leader.lanesComputed((this.nowMs - this.lanesSinceMs) / this.work.lanes.length);
    this.lanesSinceMs = undefined;
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

  /** Goes as far as what is here allows, but not through more values than one slice: then it asks to be called again. */
  private advance(): void {
    if (this.continueAwaited) return;
    for (let left = this.sliceValues; left > 0 && !this.gone;) {
      const done = this.advanceBy(left);
      if (done === 0) return;
      left -= done;
    }
    if (this.gone) return;
    this.continueAwaited = true;
    this.out.push({ kind: 'continue' });
  }

  /** One piece of work of about `maxValues` values at most; returns how many, at least 1, or 0 when there is nothing to do now. */
  private advanceBy(maxValues: number): number {
    const { state } = this;
    if (state.changing) {
      const reached = state.advance(maxValues);
      if (reached !== undefined) this.reached(reached);
      return Math.min(maxValues, 4 * this.options.layout.valueCount);
    }
    if (state.head !== undefined && (this.checkpoints.needsCopy || this.snapshots.needsCopy)) {
      // Lanes may run meanwhile: they only read.
      if (!this.still) this.work.requestLanes();
      return this.copy(maxValues);
    }
    this.copying = undefined;
    if (this.still) return 0;
    if (state.totals.complete) {
      state.apply();
      return 1;
    }
    const contributed = this.work.contribute(maxValues);
    if (contributed === 0) this.work.requestLanes();
    return contributed;
  }

  private copy(maxValues: number): number {
    const { head, arrays } = this.state;
    const copying = this.copying?.head === head ? this.copying! : new StateCopy(head!, arrays);
    this.copying = copying;
    if (copying.advance(maxValues)) {
      this.copying = undefined;
      if (this.checkpoints.needsCopy) {
        this.checkpoints.copied(copying.head, copying.arrays);
        this.leader.hasNews();
      }
      if (this.snapshots.needsCopy) this.snapshots.copied(copying.head, copying.arrays, this.nowMs);
    }
    return Math.min(maxValues, 4 * this.options.layout.valueCount);
  }

  /** The state has become another boundary's. */
  private reached(reached: Reached): void {
    const head = this.state.head!;
    const { step } = head;
    this.progress();
    if (reached.kind === 'applied') {
      this.out.push({ kind: 'stepApplied', result: reached.result, head });
      this.leader.applied(reached.result, this.nowMs);
    } else {
      this.out.push({ kind: 'stateTaken', head, from: this.taking });
      this.leader.hasNews();
    }
    this.work.beginStep();
    this.lanesSinceMs = this.nowMs;
    this.snapshots.reached(step);
    this.frames.sees(step);
    this.checkpoints.atBoundary(head, this.nowMs);
    this.announceEnd();
    if (reached.kind === 'applied' && this.work.plan?.members[0]?.id === this.options.id) this.leader.reportNewest();
    this.frames.replay(this.nowMs);
  }

  private announceEnd(): void {
    const { step } = this.state.head!;
    if (this.endAnnounced) return;
    const reason = this.haltReason;
    if (reason !== undefined) this.out.push({ kind: 'halted', step, reason });
    else if (step >= this.options.steps) this.out.push({ kind: 'finished', step });
    else return;
    this.endAnnounced = true;
    this.leader.hasNews();
  }
  private get haltReason(): string | undefined {
    const skipped = this.state.head?.skippedInARow ?? 0;
    if (skipped < this.options.maxSkippedSteps) return undefined;
    return `${skipped} steps in a row had gradients or losses that are not finite.`;
  }

  private take(state: LoadedState, from: 'checkpoint' | 'snapshot'): void {
    this.taking = from;
    this.state.install(state);
    this.progress();
  }

  // ---- plan, heartbeat --------------------------------------------------------------------------------------------------

  private adopt(plan: Plan): void {
    const { run, laneCount } = this.options;
    if (plan.run !== run || plan.laneCount !== laneCount || plan.generation <= this.work.generation) return;
    this.work.adopt(plan);
    this.lanesSinceMs = undefined;
    this.progress();
    this.leader.planAdopted();
    this.leader.hasNews();
    if (this.leavingMs !== undefined && this.work.lanes.length === 0) return this.go();
    this.frames.replay(this.nowMs);
  }

  private sendHeartbeat(): void {
    const { head } = this.state;
    this.leader.heartbeat(
      {
        head,
        caughtUp: head !== undefined && !this.snapshots.fetching && head.step >= this.frames.seenStep - 1,
        leaving: this.leavingMs !== undefined,
        checkpoint: this.checkpoints.describe(),
        haltReason: this.haltReason,
      },
      this.nowMs,
    );
  }

  private answered(answer: AcceptedAnswer): void {
    this.adopt(answer.plan);
    if (this.gone) return;
    this.frames.sees(answer.maxStep);
    this.leader.acknowledge(answer.reportedThrough);
    if (answer.leases !== null) this.leader.holdLeases(answer.leases);
    this.checkpoints.heard(answer.checkpoint);
    if (this.leavingMs !== undefined) {
      if (answer.standing === 'released') return this.go();
      if (answer.standing === 'last' && !this.resting && this.state.head !== undefined) {
        this.resting = true;
        this.work.rest();
      } else if (answer.standing !== 'last') this.resting = false;
    }
    const { head } = this.state;
    if (head !== undefined && !this.state.changing)
      this.checkpoints.wanted(head, this.resting, answer.checkpoint, this.nowMs);
    this.checkpoints.accept(answer.checkpoint.duty);
  }

  private go(): void {
    this.gone = true;
    this.out.push({ kind: 'left' });
  }

  // ---- time -------------------------------------------------------------------------------------------------------------

  private progress(): void {
    this.progressMs = this.nowMs;
    this.wantAttempt = 0;
  }

  private tick(): void {
    const { timings } = this.options;
    if (this.leavingMs !== undefined && this.nowMs - this.leavingMs >= timings.leaveMs) return this.go();
    this.leader.tick(this.nowMs);
    this.work.retryFailed();
    this.snapshots.tick(this.nowMs);
    if (this.state.changing || (this.still && this.state.head !== undefined)) return;
    if (this.nowMs - Math.max(this.progressMs, this.leader.planAskedMs) >= timings.stallMs)
      this.leader.readPlan(this.nowMs);
    // Waits twice as long after every fruitless round of asking, up to eight times.
    const waitMs = timings.wantMs * Math.min(8, 2 ** Math.floor(this.wantAttempt / 3));
    if (this.state.head === undefined || this.nowMs - Math.max(this.progressMs, this.wantedMs) < waitMs) return;
    this.wantedMs = this.nowMs;
    this.work.want(this.wantAttempt++);
  }
}
