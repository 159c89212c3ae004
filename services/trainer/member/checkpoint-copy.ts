/** What this trainer has done for the checkpoint it holds a copy of (rule 18). */
import type { CheckpointDuty, Heartbeat, SliceDigest, StateHead } from '@thaw/shared/protocol';

export type CopyWork =
  | { readonly kind: 'writeSlice'; readonly slice: number; readonly readBack: boolean }
  | { readonly kind: 'digestSlice'; readonly slice: number };

export class CheckpointCopy {
  readonly head: StateHead;
  readonly sinceMs: number;
  private readonly written = new Map<number, SliceDigest>();
  private readonly confirmed = new Map<number, SliceDigest>();
  private readonly readBack = new Set<number>();
  private readonly running = new Set<string>();

  constructor(head: StateHead, nowMs: number) {
    this.head = head;
    this.sinceMs = nowMs;
  }

  /** Work of a duty that is neither done nor under way. */
  accept(duty: CheckpointDuty): CopyWork[] {
    const work: CopyWork[] = [];
    const start = (key: string, item: CopyWork): void => {
      if (this.running.has(key)) return;
      this.running.add(key);
      work.push(item);
    };
    for (const slice of duty.readBack)
      if (!this.readBack.has(slice)) start(`w${slice}`, { kind: 'writeSlice', slice, readBack: true });
    for (const slice of duty.write)
      if (!this.written.has(slice)) start(`w${slice}`, { kind: 'writeSlice', slice, readBack: false });
    for (const slice of duty.confirm)
      if (!this.confirmed.has(slice)) start(`c${slice}`, { kind: 'digestSlice', slice });
    return work;
  }

  finishWrite(digest: SliceDigest, readBack: boolean): void {
    this.running.delete(`w${digest.slice}`);
    this.written.set(digest.slice, digest);
    if (readBack) this.readBack.add(digest.slice);
  }
  finishDigest(digest: SliceDigest): void {
    this.running.delete(`c${digest.slice}`);
    this.confirmed.set(digest.slice, digest);
  }
  /** Asked for again with the next duty. */
  fail(slice: number): void {
    this.running.delete(`w${slice}`);
    this.running.delete(`c${slice}`);
  }

  describe(): NonNullable<Heartbeat['checkpoint']> {
    return {
      head: this.head,
      written: [...this.written.values()],
      confirmed: [...this.confirmed.values()],
      readBack: [...this.readBack],
    };
  }
}
