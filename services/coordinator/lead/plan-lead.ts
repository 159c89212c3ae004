/**
 * The lead itself: reading and swapping the plan object (rules 1 to 6). A standby watches the object and takes the lead when it has not
 * changed for as long as a lead lasts; a leader renews it, writes what the coordinator decides, and steps down when it cannot.
 */
import type { Plan } from '@thaw/shared/protocol';
import type { CoordinatorEffect, CoordinatorOptions } from './events.js';

/** Effects of the coordinator, and two that the coordinator itself answers with further ones. */
export type PlanEffect =
  | CoordinatorEffect
  /** The lead is taken; the object holds this plan. */
  | { readonly kind: 'taken'; readonly plan: Plan }
  /** The object holds another generation, written by this leader. */
  | { readonly kind: 'generationWritten'; readonly before: Plan; readonly plan: Plan };

export class PlanLead {
  private readonly options: CoordinatorOptions;
  /** As last read or written by this coordinator. */
  private known: Plan | undefined;
  private etag: string | undefined;
  /** When the object was last seen to differ from before. */
  private changedMs = 0;
  private epoch: number | undefined;
  /** The one outstanding operation on the object. */
  private pending:
    { readonly kind: 'read' } | { readonly kind: 'swap'; readonly plan: Plan; readonly startedMs: number } | undefined;
  private readMs = -Infinity;
  private renewedMs = 0;
  private releasing = false;
  private gone = false;

  constructor(options: CoordinatorOptions) {
    this.options = options;
  }

  get leading(): boolean {
    return this.epoch !== undefined;
  }
  /** The lead has been given up for good. */
  get released(): boolean {
    return this.gone;
  }
  /** A release has been asked for: what changes in the plan does not matter any more. */
  get leaving(): boolean {
    return this.releasing;
  }
  get plan(): Plan | undefined {
    return this.known;
  }
  /** Nothing is outstanding, and the object is known well enough to be swapped. */
  get writable(): boolean {
    return this.leading && this.pending === undefined && this.etag !== undefined;
  }

  read(nowMs: number): PlanEffect[] {
    if (this.pending !== undefined) return [];
    this.pending = { kind: 'read' };
    this.readMs = nowMs;
    return [{ kind: 'readPlan' }];
  }

  tick(nowMs: number): PlanEffect[] {
    const { timings } = this.options;
    if (!this.leading) {
      if (this.releasing && this.pending === undefined) return this.leave();
      // A lost answer must not keep a standby waiting for ever.
      if (this.pending !== undefined && nowMs - this.readMs > timings.leadTtlMs) this.pending = undefined;
      return nowMs - this.readMs >= timings.renewMs ? this.read(nowMs) : [];
    }
    if (nowMs - this.renewedMs >= timings.leadTtlMs)
      return this.stepDown('the plan object could not be renewed in time', nowMs);
    return this.etag === undefined && nowMs - this.readMs >= timings.heartbeatMs ? this.read(nowMs) : [];
  }

  planRead(found: { readonly plan: Plan; readonly etag: string } | undefined, nowMs: number): PlanEffect[] {
    const { id, run, laneCount, timings } = this.options;
    this.pending = undefined;
    if (this.leading) {
      if (found === undefined || found.plan.leader.id !== id || found.plan.leader.epoch !== this.epoch)
        return this.stepDown('another coordinator has the lead', nowMs);
      // An own write whose answer was lost.
      return this.written(found.plan, found.etag, this.renewedMs);
    }
    if (this.releasing) return this.leave();
    if (found === undefined) {
      this.etag = undefined;
      this.known = undefined;
      const leader = { id, epoch: 1, renewal: 0, released: false };
      const none = { fingerprint: null, generation: 0, members: [] };
      return this.swap({ format: 'thaw.plan/1', run, leader, laneCount, ...none }, nowMs);
    }
    if (found.plan.run !== run || found.plan.laneCount !== laneCount) {
      const there = `run ${found.plan.run} with ${found.plan.laneCount} lanes`;
      const message = `The plan object belongs to ${there}, this is ${run} with ${laneCount}.`;
      return [{ kind: 'alarm', code: 'THAW_RUN_CONFLICT', message }];
    }
    if (found.etag !== this.etag) this.changedMs = nowMs;
    this.etag = found.etag;
    this.known = found.plan;
    if (!found.plan.leader.released && nowMs - this.changedMs < timings.leadTtlMs) return [];
    const leader = { id, epoch: found.plan.leader.epoch + 1, renewal: 0, released: false };
    return this.swap({ ...found.plan, leader }, nowMs);
  }

  planSwapped(swapped: boolean, etag: string | undefined, nowMs: number): PlanEffect[] {
    const pending = this.pending;
    this.pending = undefined;
    if (pending?.kind !== 'swap') return [];
    if (!swapped || etag === undefined) return this.read(nowMs);
    const { plan, startedMs } = pending;
    if (this.leading) {
      if (plan.leader.released) return [{ kind: 'stepDown', reason: 'it leaves' }, ...this.leave()];
      return this.written(plan, etag, startedMs);
    }
    const { epoch } = plan.leader;
    this.epoch = epoch;
    this.known = plan;
    this.etag = etag;
    this.renewedMs = startedMs;
    return [
      { kind: 'lead', epoch, plan },
      { kind: 'taken', plan },
    ];
  }

  /** Done or not done: only the object can tell. The next tick reads it. */
  planFailed(nowMs: number): void {
    this.pending = undefined;
    this.readMs = nowMs;
    this.etag = undefined;
  }

  release(): PlanEffect[] {
    this.releasing = true;
    return !this.leading && this.pending === undefined ? this.leave() : [];
  }

  /** Writes the release, the change, or the renewal that is due. Only when {@link writable}. */
  write(
    change: Partial<Pick<Plan, 'fingerprint' | 'generation' | 'members'>> | undefined,
    nowMs: number,
  ): PlanEffect[] {
    const plan = this.known!;
    const leader = { ...plan.leader, renewal: plan.leader.renewal + 1 };
    if (this.releasing) return this.swap({ ...plan, leader: { ...leader, released: true } }, nowMs);
    if (change !== undefined) return this.swap({ ...plan, ...change, leader }, nowMs);
    return nowMs - this.renewedMs >= this.options.timings.renewMs ? this.swap({ ...plan, leader }, nowMs) : [];
  }
  private swap(plan: Plan, nowMs: number): PlanEffect[] {
    this.pending = { kind: 'swap', plan, startedMs: nowMs };
    return [{ kind: 'swapPlan', plan, expectedEtag: this.etag }];
  }

  private stepDown(reason: string, nowMs: number): PlanEffect[] {
    this.epoch = undefined;
    this.pending = undefined;
    this.etag = undefined;
    this.known = undefined;
    this.changedMs = nowMs;
    return [{ kind: 'stepDown', reason }, ...(this.releasing ? this.leave() : this.read(nowMs))];
  }
  private leave(): PlanEffect[] {
    this.gone = true;
    return [{ kind: 'released' }];
  }

  /** The object holds this plan of ours. */
  private written(plan: Plan, etag: string, renewedMs: number): PlanEffect[] {
    const before = this.known;
    this.known = plan;
    this.etag = etag;
    this.renewedMs = Math.max(this.renewedMs, renewedMs);
    return before === undefined || plan.generation <= before.generation
      ? []
      : [{ kind: 'generationWritten', before, plan }];
  }
}
