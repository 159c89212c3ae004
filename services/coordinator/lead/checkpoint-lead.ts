/**
 * The leader's side of a checkpoint (rule 18): who holds a copy of which boundary, which slice is written and confirmed by whom, when the
 * manifest may be written. Remembers nothing that heartbeats do not repeat.
 */
import type { CheckpointDuty, CheckpointNews, Heartbeat, SliceDigest, StateHead, Timings } from '@thaw/shared/protocol';
import type { CoordinatorEffect, CoordinatorOptions } from './events.js';

interface Claim {
  readonly digest: SliceDigest;
  readonly by: string;
}

interface Active {
  readonly head: StateHead;
  readonly sinceMs: number;
  newsMs: number;
  readonly holders: Set<string>;
  readonly written: Map<number, Claim>;
  /** By another than the writer. */
  readonly confirmed: Map<number, Claim[]>;
  /** Slice -> writer that read it back. */
  readonly readBack: Map<number, string>;
  committing: boolean;
}

/** The leader adds the fingerprint to a commit. */
export type CheckpointEffect =
  | Exclude<CoordinatorEffect, { kind: 'commitManifest' }>
  | Omit<Extract<CoordinatorEffect, { kind: 'commitManifest' }>, 'fingerprint'>;

type Alive = (id: string) => boolean;

export class CheckpointLead {
  private readonly sliceCount: number;
  private readonly steps: number;
  private readonly timings: Timings;
  private committedStep: number | null;
  private abandonedStep: number | null = null;
  private active: Active | undefined;
  private alarmed = '';

  constructor(options: CoordinatorOptions) {
    this.sliceCount = options.sliceCount;
    this.steps = options.steps;
    this.timings = options.timings;
    this.committedStep = options.committedStep;
  }

  get news(): CheckpointNews {
    return { committedStep: this.committedStep, abandonedStep: this.abandonedStep };
  }
  committedAt(step: number): boolean {
    return this.committedStep !== null && this.committedStep >= step;
  }
  /** Only the last boundary is wanted by name: nobody moves on from it. */
  wantedStep(maxStep: number): number | null {
    return maxStep >= this.steps && !this.committedAt(this.steps) ? this.steps : null;
  }

  /** The last trainer rests at this boundary: an attempt that was given up earlier, among others, is allowed again. */
  allow(step: number): void {
    if (this.abandonedStep !== null && this.abandonedStep >= step) this.abandonedStep = step - 1;
  }

  /** A new leader starts from what heartbeats say. */
  begin(): void {
    this.active = undefined;
  }

  observe(id: string, checkpoint: Heartbeat['checkpoint'], nowMs: number, alive: Alive): CheckpointEffect[] {
    const effects: CheckpointEffect[] = [];
    if (checkpoint === null) {
      this.active?.holders.delete(id);
      return effects;
    }
    const { step } = checkpoint.head;
    if (step <= (this.committedStep ?? -1) || step <= (this.abandonedStep ?? -1)) return effects;
    if (this.active !== undefined && this.active.head.step !== step && !this.holders(alive).length)
      effects.push(...this.abandon('nobody holds a copy any more'));
    this.active ??= {
      head: checkpoint.head,
      sinceMs: nowMs,
      newsMs: nowMs,
      holders: new Set(),
      written: new Map(),
      confirmed: new Map(),
      readBack: new Map(),
      committing: false,
    };
    const active = this.active;
    if (active.head.step !== step) {
      active.holders.delete(id);
      return effects;
    }
    if (!sameHead(active.head, checkpoint.head))
      return [...effects, ...this.mismatch(`${id} has another state at boundary ${step}`)];
    if (!active.holders.has(id)) active.newsMs = nowMs;
    active.holders.add(id);
    for (const digest of checkpoint.written) {
      const known = active.written.get(digest.slice);
      if (known === undefined) {
        active.written.set(digest.slice, { digest, by: id });
        active.newsMs = nowMs;
      } else if (known.by !== id) this.confirm(active, digest, id);
    }
    for (const digest of checkpoint.confirmed) {
      if (active.written.get(digest.slice)?.by === id) continue;
      if (this.confirm(active, digest, id)) active.newsMs = nowMs;
    }
    for (const slice of checkpoint.readBack) if (active.written.get(slice)?.by === id) active.readBack.set(slice, id);
    return [...effects, ...this.settle(active)];
  }

  private confirm(active: Active, digest: SliceDigest, by: string): boolean {
    const claims = active.confirmed.get(digest.slice) ?? [];
    if (claims.some((claim) => claim.by === by)) return false;
    active.confirmed.set(digest.slice, [...claims, { digest, by }]);
    return true;
  }

  /** Commits when every slice is written and known good; a contradiction is an alarm. */
  private settle(active: Active): CheckpointEffect[] {
    if (active.committing) return [];
    for (let slice = 0; slice < this.sliceCount; slice++) {
      const written = active.written.get(slice);
      for (const claim of active.confirmed.get(slice) ?? [])
        if (written !== undefined && claim.digest.sha256 !== written.digest.sha256)
          return this.mismatch(
            `slice ${slice} of step ${active.head.step} is ${written.digest.sha256} at ${written.by} and ${claim.digest.sha256} at ${claim.by}`,
          );
    }
    for (let slice = 0; slice < this.sliceCount; slice++) if (!this.sliceDone(active, slice)) return [];
    active.committing = true;
    const slices = Array.from({ length: this.sliceCount }, (_, slice) => active.written.get(slice)!.digest);
    return [{ kind: 'commitManifest', head: active.head, slices }];
  }

  private sliceDone(active: Active, slice: number): boolean {
    const written = active.written.get(slice);
    if (written === undefined) return false;
    return (
      active.readBack.get(slice) === written.by ||
      (active.confirmed.get(slice) ?? []).some((claim) => claim.by !== written.by)
    );
  }

  private mismatch(problem: string): CheckpointEffect[] {
    const message = `A checkpoint is dropped: ${problem}.`;
    const effects = this.abandon('its holders disagree');
    if (message === this.alarmed) return effects;
    this.alarmed = message;
    return [{ kind: 'alarm', code: 'THAW_CHECKPOINT_CONFLICT', message }, ...effects];
  }

  private abandon(reason: string): CheckpointEffect[] {
    const step = this.active!.head.step;
    this.active = undefined;
    // The last boundary is tried again; nobody moves on from it.
    if (step < this.steps) this.abandonedStep = Math.max(this.abandonedStep ?? 0, step);
    return [{ kind: 'checkpointAbandoned', step, reason }];
  }

  private holders(alive: Alive): string[] {
    return [...(this.active?.holders ?? [])].filter(alive).sort();
  }

  tick(nowMs: number, memberCount: number, alive: Alive): CheckpointEffect[] {
    const active = this.active;
    if (active === undefined) return [];
    const holders = this.holders(alive);
    if (active.committing) return [];
    if (holders.length === 0) return this.abandon('nobody holds a copy any more');
    if (holders.length === 1 && memberCount > 1 && nowMs - active.newsMs > 8 * this.timings.heartbeatMs)
      return this.abandon('only one member holds a copy');
    if (nowMs - active.newsMs > this.timings.checkpointMs) return this.abandon('it made no progress');
    return this.settle(active);
  }

  /** What one holder is to do now. */
  duty(id: string, members: readonly string[], nowMs: number, alive: Alive): CheckpointDuty | null {
    const active = this.active;
    if (active === undefined || !active.holders.has(id) || active.committing) return null;
    const holders = this.holders(alive);
    const gathered =
      members.every((member) => holders.includes(member)) || nowMs - active.sinceMs >= 2 * this.timings.heartbeatMs;
    const alone = holders.length === 1;
    if (!gathered || (alone && members.some((member) => member !== id))) return null;
    const duty: CheckpointDuty = { step: active.head.step, write: [], confirm: [], readBack: [] };
    for (let slice = 0; slice < this.sliceCount; slice++) {
      if (this.sliceDone(active, slice)) continue;
      const written = active.written.get(slice)?.by;
      const writer = written ?? holders[slice % holders.length]!;
      const others = holders.filter((holder) => holder !== writer);
      if (others.length === 0) {
        if (writer === id) duty.readBack.push(slice);
      } else if (writer === id) {
        if (written === undefined) duty.write.push(slice);
      } else if (others[slice % others.length] === id) duty.confirm.push(slice);
    }
    return duty.write.length + duty.confirm.length + duty.readBack.length === 0 ? null : duty;
  }

  manifestCommitted(step: number): CheckpointEffect[] {
    if (this.active?.head.step === step) this.active = undefined;
    if (this.committedAt(step)) return [];
    this.committedStep = step;
    return [{ kind: 'checkpointCommitted', step }];
  }
  manifestFailed(step: number): void {
    if (this.active?.head.step === step) this.active.committing = false;
  }
}

const sameHead = (a: StateHead, b: StateHead): boolean =>
  a.step === b.step &&
  a.historyDigest === b.historyDigest &&
  a.beta1Product === b.beta1Product &&
  a.beta2Product === b.beta2Product &&
  a.skippedInARow === b.skippedInARow;
