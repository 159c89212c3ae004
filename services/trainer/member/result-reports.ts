/** Step results until the leader has acknowledged them. */
import type { StepResult } from '@thaw/shared/protocol';

/** Kept for a leader that is away. */
const keptResults = 1024;
const resultsPerReport = 256;
/** A report of a step repeats a few before it, which may have been lost. */
const resultsWithStep = 4;

export class ResultReports {
  private readonly overdueMs: number;
  private readonly results: { readonly result: StepResult; readonly appliedMs: number }[] = [];
  private through = 0;

  /** @param overdueMs after so long without acknowledgement everybody reports a result, not only the one who should */
  constructor(overdueMs: number) {
    this.overdueMs = overdueMs;
  }

  add(result: StepResult, nowMs: number): void {
    this.results.push({ result, appliedMs: nowMs });
    if (this.results.length > keptResults) this.results.shift();
  }
  /** The leader knows the results of all steps below. */
  acknowledge(through: number): void {
    this.through = through;
  }

  newest(): StepResult[] {
    return this.unknown(this.results.slice(-resultsWithStep));
  }
  overdue(nowMs: number): StepResult[] {
    return this.unknown(this.results.filter(({ appliedMs }) => nowMs - appliedMs >= this.overdueMs));
  }
  private unknown(from: typeof this.results): StepResult[] {
    const unknown = from.filter(({ result }) => result.step >= this.through);
    return unknown.slice(0, resultsPerReport).map(({ result }) => result);
  }
}
