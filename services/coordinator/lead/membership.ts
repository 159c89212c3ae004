/** Who is alive, and who should compute: pure decisions on what heartbeats and the broker have said. */
import type { Heartbeat, Plan, Timings } from '@thaw/shared/protocol';

interface TrainerInfo {
  message: Heartbeat;
  lastSeenMs: number;
  /** The broker has said that its connection is gone, and nothing was heard since. */
  disconnected: boolean;
}

export class Membership {
  private readonly timings: Timings;
  private readonly trainers = new Map<string, TrainerInfo>();
  private readonly evicted = new Set<string>();
  private sinceMs = 0;

  constructor(timings: Timings) {
    this.timings = timings;
  }

  /** A new leader has heard nobody yet, and judges nobody dead before one detection interval of its own. */
  begin(nowMs: number): void {
    this.trainers.clear();
    this.evicted.clear();
    this.sinceMs = nowMs;
  }

  heard(message: Heartbeat, nowMs: number): void {
    this.trainers.set(message.id, { message, lastSeenMs: nowMs, disconnected: false });
  }
  disconnected(id: string): void {
    const info = this.trainers.get(id);
    if (info !== undefined) info.disconnected = true;
  }
  get(id: string): Heartbeat | undefined {
    return this.trainers.get(id)?.message;
  }
  lastSeenMs(id: string): number | undefined {
    return this.trainers.get(id)?.lastSeenMs;
  }

  alive(id: string, nowMs: number): boolean {
    const info = this.trainers.get(id);
    if (info === undefined) return nowMs - this.sinceMs < this.timings.detectionMs;
    return !info.disconnected && nowMs - info.lastSeenMs < this.timings.detectionMs;
  }
  /** Heard and alive. */
  present(nowMs: number): Heartbeat[] {
    return [...this.trainers.values()].map((info) => info.message).filter(({ id }) => this.alive(id, nowMs));
  }
  /** Forgets who has been silent for long, so that incarnations do not pile up. */
  prune(nowMs: number): void {
    for (const [id, info] of this.trainers)
      if (nowMs - info.lastSeenMs > 20 * this.timings.detectionMs) this.trainers.delete(id);
  }

  /** From now on a member only while nobody else can be one. Holds for this incarnation of the trainer, under this leader. */
  evict(id: string): void {
    this.evicted.add(id);
  }

  /** Highest boundary anybody reported. */
  get maxStep(): number {
    let step = 0;
    for (const { message } of this.trainers.values()) step = Math.max(step, message.step ?? 0);
    return step;
  }

  /**
   * Ids that should be in the plan now.
   *
   * Members stay while they are alive, do not leave and are not evicted; followers come in when they have caught up. With no member left: followers that have
   * caught up; else one that leaves but holds state (`last`), so that its state is not lost; else whoever is there, with or without state.
   * Nobody there: the plan stays as it is, for a plan is never empty.
   */
  desired(plan: Plan, nowMs: number): string[] {
    const staying = plan.members.map(({ id }) => id).filter((id) => this.alive(id, nowMs) && !this.get(id)?.leaving);
    const followers = this.present(nowMs).filter(({ id, leaving }) => !leaving && !staying.includes(id));
    const caughtUp = followers.filter(({ step, caughtUp: ready }) => step !== null && ready);
    const chosen = [...staying, ...ids(caughtUp)];
    const kept = chosen.filter((id) => !this.evicted.has(id));
    if (chosen.length > 0) return kept.length > 0 ? kept : chosen;
    const leaving = this.present(nowMs).filter(({ step, leaving: goes }) => goes && step !== null);
    leaving.sort((a, b) => b.step! - a.step! || (a.id < b.id ? -1 : 1));
    const last = leaving.find(({ id }) => plan.members.some((member) => member.id === id));
    if (last !== undefined) return [last.id];
    return followers.length > 0 ? ids(followers) : plan.members.map(({ id }) => id);
  }
}

const ids = (messages: readonly Heartbeat[]): string[] => messages.map(({ id }) => id).sort();
