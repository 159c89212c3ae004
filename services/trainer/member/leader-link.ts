/** What this trainer and the leader tell each other: heartbeats, leases, step results, and the plan when nobody announces it. */
import type { Heartbeat, LeaseHandOut, StateHead, StepResult } from '@thaw/shared/protocol';
import type { TrainerOptions } from './events.js';
import type { Outbox } from './outbox.js';
import { ResultReports } from './result-reports.js';

/** What a heartbeat says besides what is known here. */
export interface Facts extends Pick<Heartbeat, 'caughtUp' | 'leaving' | 'checkpoint'> {
  readonly head: StateHead | undefined;
  readonly haltReason: string | undefined;
}

export class LeaderLink {
  private readonly options: TrainerOptions;
  private readonly out: Outbox;
  private readonly reports: ResultReports;
  private heartbeatMs = -Infinity;
  private heartbeatDue = false;
  private planAskedAtMs = -Infinity;
  private planAwaited = false;
  private laneMs: number | null = null;
  private leases: Heartbeat['leases'] = null;
  private leasesAhead: LeaseHandOut | undefined;

  constructor(options: TrainerOptions, out: Outbox) {
    this.options = options;
    this.out = out;
    this.reports = new ResultReports(2 * options.timings.heartbeatMs);
  }

  // ---- heartbeats -------------------------------------------------------------------------------------------------------

  /** There is news for the leader: a heartbeat goes out with this event. */
  hasNews(): void {
    this.heartbeatDue = true;
  }
  get due(): boolean {
    return this.heartbeatDue;
  }
  /** @param laneMs time of a lane in one step */
  lanesComputed(laneMs: number): void {
    this.laneMs = this.laneMs === null ? laneMs : 0.8 * this.laneMs + 0.2 * laneMs;
  }
  tick(nowMs: number): void {
    if (nowMs - this.heartbeatMs < this.options.timings.heartbeatMs) return;
    this.heartbeatDue = true;
    this.send(this.reports.overdue(nowMs));
  }

  heartbeat({ head, haltReason, ...facts }: Facts, nowMs: number): void {
    this.heartbeatDue = false;
    this.heartbeatMs = nowMs;
    const { run, id, fingerprint } = this.options;
    const { generation } = this.out;
    const { laneMs, leases } = this;
    const halted = head === undefined || haltReason === undefined ? null : { step: head.step, reason: haltReason };
    const step = head?.step ?? null;
    const message = { run, id, fingerprint, generation, step, laneMs, leases, halted, ...facts };
    this.out.push({ kind: 'heartbeat', message });
  }

  // ---- results ----------------------------------------------------------------------------------------------------------

  applied(result: StepResult, nowMs: number): void {
    this.reports.add(result, nowMs);
  }
  /** The owner of chunk 0 reports every step at once; everybody what the leader has not acknowledged for a while, for the owner may be dead. */
  reportNewest(): void {
    this.send(this.reports.newest());
  }
  /** The leader knows the results of all steps below. */
  acknowledge(through: number): void {
    this.reports.acknowledge(through);
  }
  private send(results: StepResult[]): void {
    const { run, id } = this.options;
    if (results.length > 0) this.out.push({ kind: 'stepReport', message: { run, id, results } });
  }

  // ---- leases -----------------------------------------------------------------------------------------------------------

  /** Leases belong to one generation; those of a plan not heard of yet wait for it, those of an older one are void. */
  holdLeases(handOut: LeaseHandOut): void {
    const { generation } = this.out;
    if (handOut.generation > generation) this.leasesAhead = handOut;
    if (handOut.generation !== generation) return;
    this.leases = { generation, throughStep: handOut.throughStep };
    this.out.push({ kind: 'holdLeases', leases: handOut.leases });
  }
  planAdopted(): void {
    if (this.leasesAhead !== undefined) this.holdLeases(this.leasesAhead);
  }

  // ---- the plan object --------------------------------------------------------------------------------------------------

  get planAskedMs(): number {
    return this.planAskedAtMs;
  }
  readPlan(nowMs: number): void {
    if (this.planAwaited && nowMs - this.planAskedAtMs < 4 * this.options.timings.stallMs) return;
    this.planAwaited = true;
    this.planAskedAtMs = nowMs;
    this.out.push({ kind: 'readPlan' });
  }
  planRead(): void {
    this.planAwaited = false;
  }
}
