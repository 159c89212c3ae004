/** Names trainers that are much slower than the others. */
export interface Straggler {
  readonly id: string;
  readonly laneMs: number;
  readonly medianMs: number;
}

interface Spell {
  /** Steps in a row. */
  steps: number;
  lastStep: number;
  named: boolean;
}

export class Stragglers {
  private readonly factor: number;
  private readonly steps: number;
  private readonly slow = new Map<string, Spell>();

  /** @param steps a trainer is named after so many in a row in which it was `factor` times slower than the median of the others */
  constructor(factor: number, steps: number) {
    this.factor = factor;
    this.steps = steps;
  }

  /** Of another leader, or another plan's members. */
  forget(id: string): void {
    this.slow.delete(id);
  }

  /**
   * @param step boundary that the trainer holds
   * @param others lane times of the other members, ms. Returns the straggler once per spell.
   */
  observe(id: string, step: number | null, laneMs: number | null, others: readonly number[]): Straggler | undefined {
    const sorted = [...others].sort((a, b) => a - b);
    const medianMs = sorted[Math.floor((sorted.length - 1) / 2)];
    if (step === null || laneMs === null || medianMs === undefined || laneMs <= this.factor * medianMs) {
      this.slow.delete(id);
      return undefined;
    }
    const spell = this.slow.get(id);
    if (spell === undefined) {
      this.slow.set(id, { steps: 0, lastStep: step, named: false });
      return undefined;
    }
    spell.steps += Math.max(0, step - spell.lastStep);
    spell.lastStep = step;
    if (spell.named || spell.steps < this.steps) return undefined;
    spell.named = true;
    return { id, laneMs, medianMs };
  }
}
