/** When this trainer takes a copy for a checkpoint, when it drops it, and what it does with it meanwhile (rule 18). */
import type { AcceptedAnswer, CheckpointDuty, CheckpointNews, Heartbeat, StateHead } from '@thaw/shared/protocol';
import { CheckpointCopy } from './checkpoint-copy.js';
import type { TrainerEvent, TrainerOptions, TrainingArrays } from './events.js';
import type { Outbox } from './outbox.js';

export class CheckpointDuties {
  private readonly options: TrainerOptions;
  private readonly out: Outbox;
  private copy: CheckpointCopy | undefined;
  /** The copy is ordered, not made yet. */
  private ordered = false;

  constructor(options: TrainerOptions, out: Outbox) {
    this.options = options;
    this.out = out;
  }

  describe(): Heartbeat['checkpoint'] {
    return this.ordered ? null : (this.copy?.describe() ?? null);
  }

  /** At a new boundary: every member copies the same ones, unless it still holds an older copy. */
  atBoundary(head: StateHead, nowMs: number): void {
    // Ordered at a boundary that was left, for somebody else's state, before it could be made.
    if (this.ordered) this.letGo();
    const { checkpointEverySteps, steps, timings } = this.options;
    const due = head.step > 0 && (head.step % checkpointEverySteps === 0 || head.step === steps);
    const free = this.copy === undefined || nowMs - this.copy.sinceMs > timings.checkpointMs;
    if (due && free) this.order(head, nowMs);
  }

  /** Apart from these, what the leader wants: the end of the run, and where the last trainer rests. */
  wanted(head: StateHead, resting: boolean, news: AcceptedAnswer['checkpoint'], nowMs: number): void {
    const { step } = head;
    // What the leader has settled is not begun again: it would be dropped at once.
    if (step === 0 || settled(news, step) || (news.wantedStep !== step && !resting)) return;
    const free = this.copy === undefined || (resting && this.copy.head.step < step);
    if (free) this.order(head, nowMs);
  }

  private order(head: StateHead, nowMs: number): void {
    this.letGo();
    this.copy = new CheckpointCopy(head, nowMs);
    this.ordered = true;
  }

  /** A copy of the present boundary is wanted. */
  get needsCopy(): boolean {
    return this.ordered;
  }
  /** It is there; nobody writes to its arrays any more. */
  copied(head: StateHead, arrays: TrainingArrays): void {
    this.ordered = false;
    if (this.copy?.head.step === head.step) this.out.push({ kind: 'copyState', head, arrays });
  }

  heard(news: CheckpointNews): void {
    if (this.copy === undefined || !settled(news, this.copy.head.step)) return;
    this.letGo();
  }

  private letGo(): void {
    if (this.copy !== undefined && !this.ordered) this.out.push({ kind: 'dropCopy', step: this.copy.head.step });
    this.ordered = false;
    this.copy = undefined;
  }

  accept(duty: CheckpointDuty | null): void {
    if (duty === null || this.ordered || this.copy?.head.step !== duty.step) return;
    for (const item of this.copy.accept(duty)) this.out.push({ ...item, step: duty.step });
  }

  /** Says whether there is something new to tell the leader. */
  sliceDone(event: Extract<TrainerEvent, { kind: 'sliceWritten' | 'sliceDigested' | 'sliceFailed' }>): boolean {
    const { kind, step, slice } = event;
    if (this.copy?.head.step !== step) return false;
    if (kind === 'sliceFailed') {
      this.copy.fail(slice);
      this.out.alarm('THAW_INTERNAL', `Slice ${slice} of the checkpoint at step ${step} failed: ${event.message}`);
      return false;
    }
    const digest = { slice, sha256: event.sha256, bytes: event.bytes };
    if (kind === 'sliceWritten') this.copy.finishWrite(digest, event.readBack);
    else this.copy.finishDigest(digest);
    return true;
  }
}

const settled = ({ committedStep, abandonedStep }: CheckpointNews, step: number): boolean =>
  step <= (committedStep ?? -1) || step <= (abandonedStep ?? -1);
