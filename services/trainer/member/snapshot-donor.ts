/** Gives away the state: one copy, made at one boundary, sent in ranges (rule 15). */
import { sha256Hex, type StateHead } from '@thaw/shared/protocol';
import type { TrainingArrays } from './events.js';
import type { StateRanges } from './state-ranges.js';

interface Copy {
  readonly head: StateHead;
  readonly arrays: TrainingArrays;
  lastUsedMs: number;
}

/** Ranges that one request may ask for: with ranges of 1 MiB, the window of a transfer. */
export const rangesPerRequest = 4;

export class SnapshotDonor {
  private readonly ranges: StateRanges;
  private readonly keepMs: number;
  private copy: Copy | undefined;

  /** @param keepMs how long an unused copy is kept, so that a slow asker finds the same boundary again */
  constructor(ranges: StateRanges, keepMs: number) {
    this.ranges = ranges;
    this.keepMs = keepMs;
  }

  /**
   * The copy that answers a request for ranges from `first` on: the one being given away if its boundary is exactly the one asked for, or
   * if a transfer is under way that may as well serve a newcomer. Undefined: a new one is needed, see {@link give}.
   * @param step boundary held now
   */
  serve(minStep: number, first: number, step: number, nowMs: number): Copy | undefined {
    const copy = this.copy;
    if (copy === undefined) return undefined;
    const busy = nowMs - copy.lastUsedMs < this.keepMs / 4;
    if (copy.head.step >= minStep && (first > 0 || busy || copy.head.step === step)) {
      copy.lastUsedMs = nowMs;
      return copy;
    }
    this.copy = undefined;
    return undefined;
  }

  /** Gives this copy away from now on; nobody writes to its arrays any more. */
  give(head: StateHead, arrays: TrainingArrays, nowMs: number): void {
    this.copy = { head, arrays, lastUsedMs: nowMs };
  }

  get rangeCount(): number {
    return this.ranges.count;
  }

  /** Bytes of one range and their SHA-256. */
  read(
    index: number,
    copy: { readonly head: StateHead; readonly arrays: TrainingArrays },
  ): { readonly data: Uint8Array; readonly dataDigest: string } {
    const data = this.ranges.read(index, copy.head, copy.arrays);
    return { data, dataDigest: sha256Hex(data) };
  }

  expire(nowMs: number): void {
    if (this.copy !== undefined && nowMs - this.copy.lastUsedMs > this.keepMs) this.copy = undefined;
  }
}
