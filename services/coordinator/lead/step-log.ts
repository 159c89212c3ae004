/** Step results in order, each once. */
import type { StepResult } from '@thaw/shared/protocol';

const maxPending = 4096;

export class StepLog {
  private next: number;
  private readonly pending = new Map<number, StepResult>();
  private waitingSinceMs: number | undefined;
  private readonly gapMs: number;

  /**
   * @param gapMs after so long a missing result is given up: whoever knew it is gone
   * @param from results of earlier steps are known already: the boundary of the newest checkpoint at start
   */
  constructor(gapMs: number, from = 0) {
    this.gapMs = gapMs;
    this.next = from;
  }

  /** Results of steps below are known. */
  get through(): number {
    return this.next;
  }

  /** Returns what can be told now, in order. */
  add(results: readonly StepResult[], nowMs: number): StepResult[] {
    for (const result of results)
      if (result.step >= this.through && this.pending.size < maxPending) this.pending.set(result.step, result);
    return this.take(nowMs);
  }

  take(nowMs: number): StepResult[] {
    if (this.pending.size === 0) return [];
    const told: StepResult[] = [];
    const contiguous = (): void => {
      for (let result = this.pending.get(this.through); result !== undefined; result = this.pending.get(this.through)) {
        told.push(result);
        this.pending.delete(result.step);
        this.next = result.step + 1;
      }
    };
    contiguous();
    if (this.pending.size === 0 || told.length > 0) this.waitingSinceMs = undefined;
    if (this.pending.size > 0) {
      this.waitingSinceMs ??= nowMs;
      if (nowMs - this.waitingSinceMs >= this.gapMs) {
        this.next = Math.min(...this.pending.keys());
        this.waitingSinceMs = undefined;
        contiguous();
      }
    }
    return told;
  }
}

/** Mean loss of a step: summed in lane order, so that the logged number has the same bits for any membership. */
export function meanLoss(result: StepResult): number {
  let sum = 0;
  for (const loss of result.laneLosses) sum += loss;
  return sum / result.laneLosses.length;
}
