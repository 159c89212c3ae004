/**
 * Lanes in proportion to measured speed. A step takes as long as its slowest member; lanes move when that time would become much shorter,
 * and only after this has been so for a while: a plan change interrupts a step, and a noisy measurement must not cause one.
 */
import type { PlanMember } from '@thaw/shared/protocol';

/**
 * How many of `laneCount` lanes each member should have, at least one, so that the slowest takes as little time as possible.
 * @param laneMs time of one lane, by member; not more members than lanes
 */
export function fastestShares(laneCount: number, laneMs: readonly number[]): number[] {
  const shares = laneMs.map(() => 1);
  for (let left = laneCount - shares.length; left > 0; left--) {
    let best = 0;
    for (let i = 1; i < shares.length; i++)
      if ((shares[i]! + 1) * laneMs[i]! < (shares[best]! + 1) * laneMs[best]!) best = i;
    shares[best]!++;
  }
  return shares;
}

/** The same members with so many lanes each; as few lanes as possible move. `shares` add up to all lanes. */
export function withShares(members: readonly PlanMember[], shares: readonly number[]): PlanMember[] {
  const free = members.flatMap(({ lanes }, i) => lanes.slice(shares[i]));
  return members.map(({ id, lanes }, i) => {
    const kept = lanes.slice(0, shares[i]);
    const more = free.splice(0, shares[i]! - kept.length);
    return { id, lanes: [...kept, ...more].sort((a, b) => a - b) };
  });
}

const slowest = (lanes: readonly number[], laneMs: readonly number[]): number =>
  Math.max(...lanes.map((count, i) => count * laneMs[i]!));

export interface LaneBalanceOptions {
  /** A step must become shorter by this factor. */
  readonly gain: number;
  /** ... for so long without a break, before lanes move. */
  readonly settleMs: number;
}

export class LaneBalance {
  private readonly options: LaneBalanceOptions;
  private sinceMs: number | undefined;

  constructor(options: LaneBalanceOptions) {
    this.options = options;
  }

  /** The plan has changed: what was seen before says nothing about it. */
  begin(): void {
    this.sinceMs = undefined;
  }

  /**
   * Members with other lanes, if they should move now.
   * @param laneMsOf of a member; null or undefined: not measured yet
   */
  propose(
    members: readonly PlanMember[],
    laneMsOf: (id: string) => number | null | undefined,
    nowMs: number,
  ): PlanMember[] | undefined {
    if (members.length < 2) return undefined;
    const measured = members.map(({ id }) => laneMsOf(id) ?? 0);
    const lanes = members.map((member) => member.lanes.length);
    const shares =
      measured.every((ms) => ms > 0) &&
      fastestShares(
        lanes.reduce((sum, n) => sum + n, 0),
        measured,
      );
    if (!shares || slowest(lanes, measured) < this.options.gain * slowest(shares, measured)) {
      this.sinceMs = undefined;
      return undefined;
    }
    this.sinceMs ??= nowMs;
    return nowMs - this.sinceMs >= this.options.settleMs ? withShares(members, shares) : undefined;
  }
}
