/**
 * The coordinator as a pure machine: standby and leader (rules 1 to 6), membership, leases, checkpoints, results. It is not on a step's
 * path: while nobody leads, trainers go on with the plan they have.
 */
import { assignLanes, lanesOf, type Heartbeat, type LeaseHandOut, type Plan } from '@thaw/shared/protocol';
import { CheckpointLead, type CheckpointEffect } from './checkpoint-lead.js';
import type { CoordinatorEffect, CoordinatorEvent, CoordinatorOptions, TrainerView } from './events.js';
import { LaneBalance } from './lane-balance.js';
import { Membership } from './membership.js';
import { meanLoss, StepLog } from './step-log.js';
import { Stragglers } from './stragglers.js';

export class Coordinator {
  private readonly options: CoordinatorOptions;
  private readonly membership: Membership;
  private readonly checkpoints: CheckpointLead;
  private readonly stepLog: StepLog;
  private readonly stragglers: Stragglers;
  private readonly balance: LaneBalance;
  private effects: CoordinatorEffect[] = [];
  private nowMs = 0;

  /** As last read or written by this coordinator. */
  private plan: Plan | undefined;
  private etag: string | undefined;
  /** When the object was last seen to differ from before. */
  private changedMs = 0;
  private epoch: number | undefined;
  /** The one outstanding operation on the object. */
  private pending:
    { readonly kind: 'read' } | { readonly kind: 'swap'; readonly plan: Plan; readonly startedMs: number } | undefined;
  private readMs = -Infinity;
  private renewedMs = 0;
  private fingerprint: string | null = null;
  private releasing = false;
  private released = false;
  private finished = false;
  private halted = false;

  constructor(options: CoordinatorOptions) {
    this.options = options;
    this.membership = new Membership(options.timings);
    this.checkpoints = new CheckpointLead(options);
    this.stepLog = new StepLog(8 * options.timings.heartbeatMs, options.committedStep ?? 0);
    this.stragglers = new Stragglers(options.stragglerFactor ?? 3, options.stragglerSteps ?? 10);
    // As long as it takes to find out that somebody died: both interrupt a step.
    const settleMs = 4 * options.timings.detectionMs;
    this.balance = new LaneBalance({ gain: options.rebalanceGain ?? 1.2, settleMs });
  }

  get leading(): boolean {
    return this.epoch !== undefined;
  }
  get currentPlan(): Plan | undefined {
    return this.plan;
  }

  /** @param nowMs the process's monotonic clock; never goes back */
  handle(event: CoordinatorEvent, nowMs: number): CoordinatorEffect[] {
    if (this.released) return [];
    this.nowMs = nowMs;
    this.dispatch(event);
    if (this.leading) this.govern();
    const all = this.effects;
    this.effects = [];
    return all;
  }

  /** Trainers as the leader knows them, by id. */
  view(nowMs: number): TrainerView[] {
    const plan = this.plan;
    return this.membership
      .present(nowMs)
      .map((message): TrainerView => {
        const lanes = plan === undefined ? [] : lanesOf(plan, message.id);
        const standing = message.leaving ? 'leaving' : lanes.length > 0 ? 'member' : 'follower';
        return {
          id: message.id,
          standing,
          step: message.step,
          lanes,
          laneMs: message.laneMs,
          lastSeenMs: this.membership.lastSeenMs(message.id) ?? 0,
        };
      })
      .sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  private dispatch(event: CoordinatorEvent): void {
    switch (event.kind) {
      case 'start':
        return this.read();
      case 'tick':
        return this.tick();
      case 'planRead':
        this.pending = undefined;
        return this.planRead(event.found);
      case 'planSwapped':
        return this.planSwapped(event.swapped, event.etag);
      case 'planFailed':
        // Done or not done: only the object can tell. The next tick reads it.
        this.pending = undefined;
        this.readMs = this.nowMs;
        this.etag = undefined;
        return;
      case 'heartbeat':
        if (this.leading) this.heartbeat(event.request, event.message);
        return;
      case 'disconnected':
        return this.membership.disconnected(event.id);
      case 'stepReport':
        if (event.message.run === this.options.run) this.tell(event.message.results);
        return;
      case 'manifestCommitted':
        this.effects.push(...this.withFingerprint(this.checkpoints.manifestCommitted(event.step)));
        return this.announce();
      case 'manifestFailed':
        return this.checkpoints.manifestFailed(event.step);
      case 'release':
        this.releasing = true;
        if (!this.leading && this.pending === undefined) this.release();
        return;
    }
  }

  // ---- the lead ---------------------------------------------------------------------------------------------------------

  private read(): void {
    if (this.pending !== undefined) return;
    this.pending = { kind: 'read' };
    this.readMs = this.nowMs;
    this.effects.push({ kind: 'readPlan' });
  }
  private swap(plan: Plan): void {
    this.pending = { kind: 'swap', plan, startedMs: this.nowMs };
    this.effects.push({ kind: 'swapPlan', plan, expectedEtag: this.etag });
  }

  private tick(): void {
    const { timings } = this.options;
    if (!this.leading) {
      if (this.releasing && this.pending === undefined) return this.release();
      // A lost answer must not keep a standby waiting for ever.
      if (this.pending !== undefined && this.nowMs - this.readMs > timings.leadTtlMs) this.pending = undefined;
      if (this.nowMs - this.readMs >= timings.renewMs) this.read();
      return;
    }
    this.membership.prune(this.nowMs);
    this.tell([]);
    if (this.nowMs - this.renewedMs >= timings.leadTtlMs)
      return this.stepDown('the plan object could not be renewed in time');
    if (this.etag === undefined && this.nowMs - this.readMs >= timings.heartbeatMs) this.read();
  }

  private planRead(found: { readonly plan: Plan; readonly etag: string } | undefined): void {
    const { id, run, laneCount, timings } = this.options;
    if (this.leading) {
      if (found === undefined || found.plan.leader.id !== id || found.plan.leader.epoch !== this.epoch)
        return this.stepDown('another coordinator has the lead');
      // An own write whose answer was lost.
      return this.written(found.plan, found.etag, this.renewedMs);
    }
    if (this.releasing) return this.release();
    if (found === undefined) {
      this.etag = undefined;
      this.plan = undefined;
      const leader = { id, epoch: 1, renewal: 0, released: false };
      return this.swap({
        format: 'thaw.plan/1',
        run,
        fingerprint: null,
        leader,
        generation: 0,
        laneCount,
        members: [],
      });
    }
    if (found.plan.run !== run || found.plan.laneCount !== laneCount) {
      const there = `run ${found.plan.run} with ${found.plan.laneCount} lanes`;
      this.effects.push({
        kind: 'alarm',
        code: 'THAW_RUN_CONFLICT',
        message: `The plan object belongs to ${there}, this is ${run} with ${laneCount}.`,
      });
      return;
    }
    if (found.etag !== this.etag) this.changedMs = this.nowMs;
    this.etag = found.etag;
    this.plan = found.plan;
    if (!found.plan.leader.released && this.nowMs - this.changedMs < timings.leadTtlMs) return;
    this.swap({ ...found.plan, leader: { id, epoch: found.plan.leader.epoch + 1, renewal: 0, released: false } });
  }

  private planSwapped(swapped: boolean, etag: string | undefined): void {
    const pending = this.pending;
    this.pending = undefined;
    if (pending?.kind !== 'swap') return;
    if (!swapped || etag === undefined) return this.read();
    if (this.leading) {
      if (pending.plan.leader.released) {
        this.effects.push({ kind: 'stepDown', reason: 'it leaves' });
        return this.release();
      }
      return this.written(pending.plan, etag, pending.startedMs);
    }
    this.epoch = pending.plan.leader.epoch;
    this.plan = pending.plan;
    this.etag = etag;
    this.fingerprint = pending.plan.fingerprint;
    this.renewedMs = pending.startedMs;
    this.membership.begin(this.nowMs);
    this.balance.begin();
    this.checkpoints.begin();
    this.effects.push({ kind: 'lead', epoch: this.epoch, plan: this.plan });
    this.announce();
  }

  private stepDown(reason: string): void {
    this.epoch = undefined;
    this.pending = undefined;
    this.etag = undefined;
    this.plan = undefined;
    this.changedMs = this.nowMs;
    this.effects.push({ kind: 'stepDown', reason });
    if (this.releasing) this.release();
    else this.read();
  }
  private release(): void {
    this.released = true;
    this.effects.push({ kind: 'released' });
  }

  /** The object holds this plan of ours. */
  private written(plan: Plan, etag: string, renewedMs: number): void {
    const before = this.plan;
    this.plan = plan;
    this.etag = etag;
    this.renewedMs = Math.max(this.renewedMs, renewedMs);
    if (before === undefined || plan.generation <= before.generation) return;
    this.balance.begin();
    this.announce();
    for (const { id } of plan.members) {
      const handOut = this.leasesOf(id, this.membership.get(id)?.step ?? 0);
      if (handOut !== null) this.effects.push({ kind: 'handLeases', handOut });
    }
    this.effects.push({ kind: 'planChanged', plan, reason: difference(before, plan) });
  }

  private announce(): void {
    if (this.leading && this.plan !== undefined)
      this.effects.push({ kind: 'announce', announcement: { plan: this.plan, checkpoint: this.checkpoints.news } });
  }

  // ---- membership -------------------------------------------------------------------------------------------------------

  /** Writes what has to be written: a change of members, the renewal, the release. Written first, announced afterwards. */
  private govern(): void {
    const plan = this.plan;
    if (plan === undefined) return;
    const alive = (id: string): boolean => this.membership.alive(id, this.nowMs);
    this.effects.push(...this.withFingerprint(this.checkpoints.tick(this.nowMs, plan.members.length, alive)));
    if (!this.finished && this.checkpoints.committedAt(this.options.steps)) {
      this.finished = true;
      this.effects.push({ kind: 'finished', step: this.options.steps });
    }
    if (this.pending !== undefined || this.etag === undefined) return;
    const leader = { ...plan.leader, renewal: plan.leader.renewal + 1 };
    if (this.releasing) return this.swap({ ...plan, leader: { ...leader, released: true } });
    const ids = this.membership.desired(plan, this.nowMs);
    let members = assignLanes(plan.laneCount, plan.members, ids);
    let changed = members.length > 0 && members.map(({ id }) => id).join() !== plan.members.map(({ id }) => id).join();
    if (!changed) {
      const balanced = this.balance.propose(plan.members, (id) => this.membership.get(id)?.laneMs, this.nowMs);
      changed = balanced !== undefined;
      members = balanced ?? members;
    }
    if (changed || this.fingerprint !== plan.fingerprint)
      this.swap({
        ...plan,
        leader,
        fingerprint: this.fingerprint,
        ...(changed && { generation: plan.generation + 1, members }),
      });
    else if (this.nowMs - this.renewedMs >= this.options.timings.renewMs) this.swap({ ...plan, leader });
  }

  private heartbeat(request: number, message: Heartbeat): void {
    const plan = this.plan!;
    const refusal = this.refusal(message, plan);
    if (refusal !== undefined) {
      this.effects.push(
        { kind: 'answer', request, answer: { kind: 'refused', ...refusal } },
        { kind: 'trainerRefused', id: message.id, message: refusal.message },
      );
      return;
    }
    this.membership.heard(message, this.nowMs);
    const isMember = plan.members.some(({ id }) => id === message.id);
    const standing = this.standing(message, plan, isMember);
    if (standing === 'last' && message.step !== null) this.checkpoints.allow(message.step);
    const alive = (id: string): boolean => this.membership.alive(id, this.nowMs);
    this.effects.push(
      ...this.withFingerprint(this.checkpoints.observe(message.id, message.checkpoint, this.nowMs, alive)),
    );
    if (message.halted !== null && !this.halted) {
      this.halted = true;
      this.effects.push({ kind: 'halted', step: message.halted.step, reason: message.halted.reason });
    }
    this.watchSpeed(message, plan);
    const memberIds = plan.members.map(({ id }) => id);
    const { maxStep } = this.membership;
    this.effects.push({
      kind: 'answer',
      request,
      answer: {
        kind: 'accepted',
        plan,
        standing,
        maxStep,
        reportedThrough: this.stepLog.through,
        leases: isMember ? this.missingLeases(message, plan) : null,
        checkpoint: {
          ...this.checkpoints.news,
          wantedStep: this.checkpoints.wantedStep(maxStep),
          duty: this.checkpoints.duty(message.id, memberIds, this.nowMs, alive),
        },
      },
    });
  }

  private refusal(
    message: Heartbeat,
    plan: Plan,
  ): { code: 'THAW_RUN_CONFLICT' | 'THAW_FINGERPRINT_MISMATCH'; message: string } | undefined {
    if (message.run !== this.options.run)
      return {
        code: 'THAW_RUN_CONFLICT',
        message: `This coordinator leads run ${this.options.run}, not ${message.run}.`,
      };
    if (this.fingerprint === message.fingerprint) return undefined;
    if (this.fingerprint === null) {
      this.fingerprint = message.fingerprint;
      return undefined;
    }
    const old =
      plan.members.some(({ id }) => this.membership.alive(id, this.nowMs)) ||
      this.membership.present(this.nowMs).length > 0;
    if (this.options.adoptFingerprint && !old) {
      this.fingerprint = message.fingerprint;
      return undefined;
    }
    return {
      code: 'THAW_FINGERPRINT_MISMATCH',
      message: `The run's fingerprint is ${this.fingerprint}, that of ${message.id} is ${message.fingerprint}.`,
    };
  }

  private standing(message: Heartbeat, plan: Plan, isMember: boolean): 'member' | 'follower' | 'last' | 'released' {
    if (!message.leaving) return isMember ? 'member' : 'follower';
    if (!isMember) return 'released';
    if (plan.members.length > 1) return 'member';
    const saved = message.step === null || message.step === 0 || this.checkpoints.committedAt(message.step);
    return saved ? 'released' : 'last';
  }

  private missingLeases(message: Heartbeat, plan: Plan): LeaseHandOut | null {
    const step = message.step ?? 0;
    const held = message.leases;
    if (held !== null && held.generation === plan.generation && held.throughStep >= this.options.leaseHorizon(step))
      return null;
    return this.leasesOf(message.id, step);
  }
  private leasesOf(id: string, fromStep: number): LeaseHandOut | null {
    const plan = this.plan!;
    const lanes = lanesOf(plan, id);
    if (lanes.length === 0) return null;
    return {
      run: this.options.run,
      to: id,
      generation: plan.generation,
      ...pick(this.options.leasesFor(lanes, fromStep, plan.generation)),
    };
  }

  private watchSpeed(message: Heartbeat, plan: Plan): void {
    const others: number[] = [];
    for (const { id } of plan.members) {
      const laneMs = id === message.id ? null : this.membership.get(id)?.laneMs;
      if (laneMs !== null && laneMs !== undefined) others.push(laneMs);
    }
    // A lane time of a trainer that is no member is an old one.
    if (others.length === plan.members.length) return this.stragglers.forget(message.id);
    const straggler = this.stragglers.observe(message.id, message.step, message.laneMs, others);
    if (straggler === undefined) return;
    const evicted = this.options.evictStragglers === true;
    if (evicted) this.membership.evict(message.id);
    this.effects.push({ kind: 'straggler', ...straggler, evicted });
  }

  private tell(results: Parameters<StepLog['add']>[0]): void {
    for (const result of this.stepLog.add(results, this.nowMs))
      this.effects.push({ kind: 'stepKnown', result, loss: meanLoss(result) });
  }

  private withFingerprint(effects: readonly CheckpointEffect[]): CoordinatorEffect[] {
    return effects.map((effect) =>
      effect.kind === 'commitManifest' ? { ...effect, fingerprint: this.fingerprint ?? '' } : effect,
    );
  }
}

const pick = ({
  throughStep,
  leases,
}: ReturnType<CoordinatorOptions['leasesFor']>): Pick<LeaseHandOut, 'throughStep' | 'leases'> => ({
  throughStep,
  leases: [...leases],
});

function difference(before: Plan, after: Plan): string {
  const old = new Set(before.members.map(({ id }) => id));
  const now = new Set(after.members.map(({ id }) => id));
  const came = [...now].filter((id) => !old.has(id));
  const went = [...old].filter((id) => !now.has(id));
  const moved = after.members.filter(({ id, lanes }) => old.has(id) && lanes.join() !== lanesOf(before, id).join());
  const changes = [...came.map((id) => `${id} joins`), ...went.map((id) => `${id} is gone`)];
  if (changes.length > 0) return changes.join(', ');
  return `lanes by speed: ${moved.map(({ id, lanes }) => `${id} has ${lanes.length}`).join(', ')}`;
}
