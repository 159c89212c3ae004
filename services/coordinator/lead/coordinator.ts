/**
 * The coordinator as a pure machine: standby and leader (rules 1 to 6), membership, leases, checkpoints, results. It is not on a step's
 * path: while nobody leads, trainers go on with the plan they have.
 */
import { assignLanes, lanesOf, type Heartbeat, type LeaseHandOut, type Plan } from '@thaw/shared/protocol';
import { CheckpointLead, type CheckpointEffect } from './checkpoint-lead.js';
import type { CoordinatorEffect, CoordinatorEvent, CoordinatorOptions, TrainerView } from './events.js';
import { LaneBalance } from './lane-balance.js';
import { Membership } from './membership.js';
import { difference } from './plan-difference.js';
import { PlanLead, type PlanEffect } from './plan-lead.js';
import { meanLoss, StepLog } from './step-log.js';
import { Stragglers } from './stragglers.js';

export class Coordinator {
  private readonly options: CoordinatorOptions;
  private readonly lead: PlanLead;
  private readonly membership: Membership;
  private readonly checkpoints: CheckpointLead;
  private readonly stepLog: StepLog;
  private readonly stragglers: Stragglers;
  private readonly balance: LaneBalance;
  private effects: CoordinatorEffect[] = [];
  private nowMs = 0;

  private fingerprint: string | null = null;
  private finished = false;
  private halted = false;

  constructor(options: CoordinatorOptions) {
    this.options = options;
    this.lead = new PlanLead(options);
    this.membership = new Membership(options.timings);
    this.checkpoints = new CheckpointLead(options);
    this.stepLog = new StepLog(8 * options.timings.heartbeatMs, options.committedStep ?? 0);
    this.stragglers = new Stragglers(options.stragglerFactor ?? 3, options.stragglerSteps ?? 10);
    // As long as it takes to find out that somebody died: both interrupt a step.
    const settleMs = 4 * options.timings.detectionMs;
    this.balance = new LaneBalance({ gain: options.rebalanceGain ?? 1.2, settleMs });
  }

  get leading(): boolean {
    return this.lead.leading;
  }
  get currentPlan(): Plan | undefined {
    return this.lead.plan;
  }

  /** @param nowMs the process's monotonic clock; never goes back */
  handle(event: CoordinatorEvent, nowMs: number): CoordinatorEffect[] {
    if (this.lead.released) return [];
    this.nowMs = nowMs;
    this.dispatch(event);
    if (this.leading) this.govern();
    const all = this.effects;
    this.effects = [];
    return all;
  }

  /** Trainers as the leader knows them, by id. */
  view(nowMs: number): TrainerView[] {
    const { plan } = this.lead;
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
        return this.perform(this.lead.read(this.nowMs));
      case 'tick':
        return this.tick();
      case 'planRead':
        return this.perform(this.lead.planRead(event.found, this.nowMs));
      case 'planSwapped':
        return this.perform(this.lead.planSwapped(event.swapped, event.etag, this.nowMs));
      case 'planFailed':
        return this.lead.planFailed(this.nowMs);
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
        return this.perform(this.lead.release());
    }
  }

  private tick(): void {
    if (this.leading) {
      this.membership.prune(this.nowMs);
      this.tell([]);
    }
    this.perform(this.lead.tick(this.nowMs));
  }

  private perform(effects: readonly PlanEffect[]): void {
    for (const effect of effects)
      if (effect.kind === 'taken') this.taken(effect.plan);
      else if (effect.kind === 'generationWritten') this.generationWritten(effect.before, effect.plan);
      else this.effects.push(effect);
  }

  private taken(plan: Plan): void {
    this.fingerprint = plan.fingerprint;
    this.membership.begin(this.nowMs);
    this.balance.begin();
    this.checkpoints.begin();
    this.announce();
  }

  private generationWritten(before: Plan, plan: Plan): void {
    this.balance.begin();
    this.announce();
    for (const { id } of plan.members) {
      const handOut = this.leasesOf(id, this.membership.get(id)?.step ?? 0);
      if (handOut !== null) this.effects.push({ kind: 'handLeases', handOut });
    }
    this.effects.push({ kind: 'planChanged', plan, reason: difference(before, plan) });
  }

  private announce(): void {
    if (this.leading && this.lead.plan !== undefined)
      this.effects.push({
        kind: 'announce',
        announcement: { plan: this.lead.plan, checkpoint: this.checkpoints.news },
      });
  }

  // ---- membership -------------------------------------------------------------------------------------------------------

  /** Writes what has to be written: a change of members, the renewal, the release. Written first, announced afterwards. */
  private govern(): void {
    const { plan } = this.lead;
    if (plan === undefined) return;
    const alive = (id: string): boolean => this.membership.alive(id, this.nowMs);
    this.effects.push(...this.withFingerprint(this.checkpoints.tick(this.nowMs, plan.members.length, alive)));
    if (!this.finished && this.checkpoints.committedAt(this.options.steps)) {
      this.finished = true;
      this.effects.push({ kind: 'finished', step: this.options.steps });
    }
    if (this.lead.writable)
      this.perform(this.lead.write(this.lead.leaving ? undefined : this.change(plan), this.nowMs));
  }

  /** What the next plan has to change; undefined for nothing. */
  private change(plan: Plan): Partial<Plan> | undefined {
    const ids = this.membership.desired(plan, this.nowMs);
    let members = assignLanes(plan.laneCount, plan.members, ids);
    let changed = members.length > 0 && members.map(({ id }) => id).join() !== plan.members.map(({ id }) => id).join();
    if (!changed) {
      const balanced = this.balance.propose(plan.members, (id) => this.membership.get(id)?.laneMs, this.nowMs);
      changed = balanced !== undefined;
      members = balanced ?? members;
    }
    if (!changed && this.fingerprint === plan.fingerprint) return undefined;
    return { fingerprint: this.fingerprint, ...(changed && { generation: plan.generation + 1, members }) };
  }

  private heartbeat(request: number, message: Heartbeat): void {
    const plan = this.lead.plan!;
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
    const plan = this.lead.plan!;
    const lanes = lanesOf(plan, id);
    if (lanes.length === 0) return null;
    const { throughStep, leases } = this.options.leasesFor(lanes, fromStep, plan.generation);
    return { run: this.options.run, to: id, generation: plan.generation, throughStep, leases: [...leases] };
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
