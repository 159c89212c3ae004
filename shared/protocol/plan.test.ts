import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeMessage, encodeMessage } from './codec.js';
import { assignLanes } from './lane-assignment.js';
import { HeartbeatSchema, StepReportSchema } from './messages.js';
import { lanesOf, ownerOf, planProblem, PlanSchema, type Plan, type PlanMember } from './plan.js';
import { bulkSubjects, controlSubjects } from './subjects.js';

fc.configureGlobal({ seed: 2208_09392 });

const id = fc.integer({ min: 0, max: 40 }).map((n) => `t-${n.toString(16).padStart(4, '0')}`);
const ids = fc.uniqueArray(id, { minLength: 1, maxLength: 12 });
const changes = fc.record({
  laneCount: fc.integer({ min: 1, max: 24 }),
  first: ids,
  then: fc.array(ids, { minLength: 1, maxLength: 8 }),
});

const planOf = (laneCount: number, members: PlanMember[]): Plan => ({
  format: 'thaw.plan/1',
  run: 'r',
  fingerprint: null,
  leader: { id: 'c-0', epoch: 1, renewal: 0, released: false },
  generation: 1,
  laneCount,
  members,
});

describe('lane assignment', () => {
  it('gives every lane exactly one member, and every member a lane, through any changes', () => {
    fc.assert(
      fc.property(changes, ({ laneCount, first, then }) => {
        let members = assignLanes(laneCount, [], first);
        for (const next of [first, ...then]) {
          members = assignLanes(laneCount, members, next);
          expect(planProblem({ generation: 1, laneCount, members })).toBeUndefined();
          expect(members.length).toBe(Math.min(laneCount, next.length));
          for (const member of members) expect(next).toContain(member.id);
        }
      }),
    );
  });

  it('is stable: nothing changes when nobody comes or goes, whatever the order of names', () => {
    fc.assert(
      fc.property(changes, ({ laneCount, first }) => {
        const members = assignLanes(laneCount, [], first);
        const same = members.map((member) => member.id).reverse();
        expect(assignLanes(laneCount, members, same)).toEqual(members);
      }),
    );
  });

  it('lets survivors keep all their lanes after deaths', () => {
    fc.assert(
      fc.property(changes, fc.infiniteStream(fc.boolean()), ({ laneCount, first }, lives) => {
        const members = assignLanes(laneCount, [], first);
        const survivors = members.filter(() => lives.next().value).map((member) => member.id);
        if (survivors.length === 0) return;
        const after = assignLanes(laneCount, members, survivors);
        for (const member of members)
          if (survivors.includes(member.id))
            expect(lanesOf({ members: after }, member.id)).toEqual(expect.arrayContaining([...member.lanes]));
      }),
    );
  });

  it('takes from those with most for a newcomer, until it is within one of them', () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 30 }), ids, (laneCount, first) => {
        const members = assignLanes(laneCount, [], first);
        if (members.length >= laneCount) return;
        const after = assignLanes(laneCount, members, [...members.map((member) => member.id), 't-ffff']);
        const counts = after.map((member) => member.lanes.length);
        const newcomer = lanesOf({ members: after }, 't-ffff').length;
        expect(Math.max(...counts) - newcomer).toBeLessThanOrEqual(1);
        const moved = after
          .filter((member) => member.id !== 't-ffff')
          .flatMap((member) => member.lanes.filter((lane) => !lanesOf({ members }, member.id).includes(lane)));
        expect(moved, 'only the newcomer gains').toEqual([]);
      }),
    );
  });

  it('shares orphans evenly', () => {
    const members = assignLanes(8, [], ['a0', 'b0', 'c0', 'd0']);
    expect(members.map((member) => member.lanes.length)).toEqual([2, 2, 2, 2]);
    expect(assignLanes(8, members, ['a0', 'b0']).map((member) => member.lanes.length)).toEqual([4, 4]);
  });
});

describe('the plan object', () => {
  it('derives owners from the sorted ids', () => {
    const plan = planOf(3, assignLanes(3, [], ['t-2', 't-1', 't-3']));
    expect([0, 1, 2, 3, 4].map((chunk) => ownerOf(plan, chunk))).toEqual(['t-1', 't-2', 't-3', 't-1', 't-2']);
    expect(ownerOf({ members: [] }, 0)).toBeUndefined();
    expect(lanesOf(plan, 't-9')).toEqual([]);
  });

  it('is refused with a lane too few, twice, out of range, or members out of order', () => {
    const good = planOf(4, [
      { id: 'a-1', lanes: [0, 2] },
      { id: 'b-1', lanes: [1, 3] },
    ]);
    expect(PlanSchema.safeParse(good).success).toBe(true);
    const bad: [PlanMember[], RegExp][] = [
      [[{ id: 'a-1', lanes: [0, 2] }], /no member/],
      [
        [
          { id: 'a-1', lanes: [0, 2] },
          { id: 'b-1', lanes: [1, 2, 3] },
        ],
        /two members/,
      ],
      [
        [
          { id: 'a-1', lanes: [0, 2] },
          { id: 'b-1', lanes: [1, 4] },
        ],
        /does not exist/,
      ],
      [
        [
          { id: 'b-1', lanes: [0, 2] },
          { id: 'a-1', lanes: [1, 3] },
        ],
        /sorted/,
      ],
      [
        [
          { id: 'a-1', lanes: [2, 0] },
          { id: 'b-1', lanes: [1, 3] },
        ],
        /ascending/,
      ],
      [[], /has members/],
    ];
    for (const [members, why] of bad) expect(PlanSchema.safeParse({ ...good, members }).error?.message).toMatch(why);
    expect(PlanSchema.safeParse({ ...good, generation: 0, members: [] }).success).toBe(true);
    expect(PlanSchema.safeParse({ ...good, generation: 0 }).success).toBe(false);
    expect(PlanSchema.safeParse({ ...good, extra: 1 }).success).toBe(false);
  });
});

describe('control messages', () => {
  it('go through the codec unchanged, losses that are not numbers too', () => {
    const report = { run: 'r', id: 't-1', results: [{ step: 3, laneLosses: [0.5, NaN], skippedLanes: [1] }] };
    expect(decodeMessage(StepReportSchema, encodeMessage(StepReportSchema, report))).toEqual(report);
  });
  it('are refused when a field is missing or out of range', () => {
    const heartbeat = {
      run: 'r',
      id: 't-1',
      fingerprint: 'f',
      generation: 0,
      step: null,
      caughtUp: false,
      leaving: false,
      laneMs: null,
      leases: null,
      checkpoint: null,
      halted: null,
    };
    expect(HeartbeatSchema.safeParse(heartbeat).success).toBe(true);
    for (const wrong of [
      { id: 'T 1' },
      { id: 'a.b' },
      { run: '../x' },
      { step: -1 },
      { step: 0.5 },
      { generation: 2 ** 32 },
      { laneMs: Infinity },
      { checkpoint: {} },
      { more: 1 },
    ])
      expect(HeartbeatSchema.safeParse({ ...heartbeat, ...wrong }).success, JSON.stringify(wrong)).toBe(false);
  });
});

describe('subjects', () => {
  it('carry the run and refuse anything that is not a token', () => {
    expect(controlSubjects.heartbeat('mnist')).toBe('thaw.mnist.heartbeat');
    expect(bulkSubjects.to('mnist', 't-1')).toBe('thaw.mnist.bulk.to.t-1');
    for (const bad of ['*', '>', 'a.b', 'a b', '', 'A']) {
      expect(() => bulkSubjects.all(bad)).toThrow();
      expect(() => controlSubjects.leases('mnist', bad)).toThrow();
    }
  });
});
