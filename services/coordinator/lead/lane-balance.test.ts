import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { planProblem } from '@thaw/shared/protocol';
import { fastestShares, LaneBalance, withShares } from './lane-balance.js';

fc.configureGlobal({ seed: 2208_09392 });

const membersOf = (...counts: number[]) => {
  let lane = 0;
  return counts.map((count, i) => ({ id: `t-${i}`, lanes: Array.from({ length: count }, () => lane++) }));
};

describe('shares by speed', () => {
  it('are those with the shortest slowest member, of all ways to share', () => {
    const ways = (lanes: number, members: number): number[][] =>
      members === 1
        ? [[lanes]]
        : Array.from({ length: lanes - members + 1 }, (_, i) => i + 1).flatMap((first) =>
            ways(lanes - first, members - 1).map((rest) => [first, ...rest]),
          );
    const time = (shares: readonly number[], laneMs: readonly number[]): number =>
      Math.max(...shares.map((count, i) => count * laneMs[i]!));
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 100 }), { minLength: 1, maxLength: 4 }),
        fc.integer({ min: 0, max: 6 }),
        (laneMs, more) => {
          const lanes = laneMs.length + more;
          const shares = fastestShares(lanes, laneMs);
          expect(shares.reduce((sum, count) => sum + count, 0)).toBe(lanes);
          expect(time(shares, laneMs)).toBe(Math.min(...ways(lanes, laneMs.length).map((way) => time(way, laneMs))));
        },
      ),
    );
  });

  it('move no more lanes than they must, and leave a whole plan', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 50 })), {
          minLength: 1,
          maxLength: 5,
        }),
        (list) => {
          const members = membersOf(...list.map(([count]) => count));
          const laneCount = list.reduce((sum, [count]) => sum + count, 0);
          const shares = fastestShares(
            laneCount,
            list.map(([, ms]) => ms),
          );
          const after = withShares(members, shares);
          expect(planProblem({ generation: 1, laneCount, members: after })).toBeUndefined();
          after.forEach(({ lanes }, i) => {
            expect(lanes.length).toBe(shares[i]);
            const kept = lanes.filter((lane) => members[i]!.lanes.includes(lane)).length;
            expect(kept).toBe(Math.min(shares[i]!, members[i]!.lanes.length));
          });
        },
      ),
    );
  });
});

describe('the balance', () => {
  const options = { gain: 1.2, settleMs: 100 };
  const speeds =
    (...laneMs: (number | null)[]) =>
    (id: string) =>
      laneMs[Number(id.slice(2))];

  it('moves lanes away from a slow member once it has been slow for long enough', () => {
    const balance = new LaneBalance(options);
    const members = membersOf(4, 4);
    expect(balance.propose(members, speeds(10, 30), 0)).toBeUndefined();
    expect(balance.propose(members, speeds(10, 30), 99)).toBeUndefined();
    expect(balance.propose(members, speeds(10, 30), 100)).toEqual([
      { id: 't-0', lanes: [0, 1, 2, 3, 6, 7] },
      { id: 't-1', lanes: [4, 5] },
    ]);
  });

  it('does not flap: a moment of even speed, a small gain or a new plan begin the wait anew', () => {
    const balance = new LaneBalance(options);
    const members = membersOf(4, 4);
    balance.propose(members, speeds(10, 30), 0);
    expect(balance.propose(members, speeds(10, 11), 60)).toBeUndefined();
    expect(balance.propose(members, speeds(10, 30), 120)).toBeUndefined();
    balance.begin();
    expect(balance.propose(members, speeds(10, 30), 230)).toBeUndefined();
    expect(balance.propose(members, speeds(10, 30), 330)).toBeDefined();
    // What it proposed stays, for speeds around those that led to it.
    for (const [a, b] of [
      [10, 30],
      [12, 28],
      [9, 32],
      [11, 27],
    ] as const) {
      const settled = new LaneBalance({ ...options, settleMs: 0 });
      expect(settled.propose(membersOf(6, 2), speeds(a, b), 0)).toBeUndefined();
    }
  });

  it('knows nothing before everybody was measured, and has nothing to do for one member or none', () => {
    const balance = new LaneBalance({ ...options, settleMs: 0 });
    expect(balance.propose(membersOf(4, 4), speeds(10, null), 0)).toBeUndefined();
    expect(balance.propose(membersOf(8), speeds(10), 0)).toBeUndefined();
    expect(balance.propose([], speeds(), 0)).toBeUndefined();
  });
});
