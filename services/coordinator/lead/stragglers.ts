/** Names trainers that are much slower than the others. */
export interface Straggler {
  readonly id: string;
  readonly laneMs: number;
  readonly medianMs: number;
}

export class Stragglers {
  private readonly factor: number;
  private readonly heartbeats: number;
  private readonly slowInARow = new Map<string, number>();

  constructor(factor: number, heartbeats: number) {
    this.factor = factor;
    this.heartbeats = heartbeats;
  }

  /** @param others lane times of the other members, ms. Returns the straggler once per spell. */
  observe(id: string, laneMs: number | null, others: readonly number[]): Straggler | undefined {
    const sorted = [...others].sort((a, b) => a - b);
    const medianMs = sorted[Math.floor((sorted.length - 1) / 2)];
    if (laneMs === null || medianMs === undefined || laneMs <= this.factor * medianMs) {
      this.slowInARow.delete(id);
      return undefined;
    }
    const count = (this.slowInARow.get(id) ?? 0) + 1;
    this.slowInARow.set(id, count);
    return count === this.heartbeats ? { id, laneMs, medianMs } : undefined;
  }
}
