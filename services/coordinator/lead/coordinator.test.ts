import { deriveTimings, type Heartbeat, type HeartbeatAnswer, type Plan, type StateHead } from '@thaw/shared/protocol';
import { beforeEach, describe, expect, it } from 'vitest';
import { Coordinator, type CoordinatorEffect, type CoordinatorEvent, type CoordinatorOptions } from './index.js';

const timings = deriveTimings(100);
const head: StateHead = {
  step: 4,
  historyDigest: 'a'.repeat(64),
  beta1Product: 0.5,
  beta2Product: 0.9,
  skippedInARow: 0,
};
const digest = (slice: number, fill = 'b') => ({ slice, sha256: fill.repeat(64), bytes: 10 });

let now = 0;
let etags = 0;
let stored: { plan: Plan; etag: string } | undefined;

const optionsOf = (fields: Partial<CoordinatorOptions> = {}): CoordinatorOptions => ({
  run: 'toy',
  id: 'c-1',
  laneCount: 4,
  steps: 10,
  sliceCount: 2,
  committedStep: null,
  timings,
  leaseHorizon: (step) => step + 8,
  leasesFor: (lanes, fromStep, generation) => ({
    throughStep: fromStep + 8,
    leases: lanes.map((lane) => ({ epoch: 0, lane, firstStep: fromStep, stepCount: 8, generation, reads: [] })),
  }),
  ...fields,
});
const of = <K extends CoordinatorEffect['kind']>(effects: readonly CoordinatorEffect[], kind: K) =>
  effects.filter((effect): effect is Extract<CoordinatorEffect, { kind: K }> => effect.kind === kind);

/** Delivers an event, and answers operations on the plan object at once. */
function send(coordinator: Coordinator, event: CoordinatorEvent): CoordinatorEffect[] {
  const all: CoordinatorEffect[] = [];
  const queue = [event];
  for (let next = queue.shift(); next !== undefined; next = queue.shift())
    for (const effect of coordinator.handle(next, now)) {
      all.push(effect);
      if (effect.kind === 'readPlan') queue.push({ kind: 'planRead', found: stored });
      if (effect.kind !== 'swapPlan') continue;
      const swapped = stored?.etag === effect.expectedEtag;
      if (swapped) stored = { plan: effect.plan, etag: `e${++etags}` };
      queue.push({ kind: 'planSwapped', swapped, etag: swapped ? stored!.etag : undefined });
    }
  return all;
}
const beat = (id: string, fields: Partial<Heartbeat> = {}): CoordinatorEvent => ({
  kind: 'heartbeat',
  request: 7,
  message: {
    run: 'toy',
    id,
    fingerprint: 'f',
    generation: 0,
    step: 0,
    caughtUp: true,
    leaving: false,
    laneMs: null,
    leases: null,
    checkpoint: null,
    halted: null,
    ...fields,
  },
});
const answer = (effects: readonly CoordinatorEffect[]): HeartbeatAnswer => of(effects, 'answer')[0]!.answer;
const accepted = (effects: readonly CoordinatorEffect[]) => {
  const got = answer(effects);
  if (got.kind !== 'accepted') throw new Error('refused');
  return got;
};
const lanes = (): Record<string, readonly number[]> =>
  Object.fromEntries(stored!.plan.members.map((member) => [member.id, member.lanes]));

let leader: Coordinator;
beforeEach(() => {
  now = 0;
  stored = undefined;
  leader = new Coordinator(optionsOf());
  send(leader, { kind: 'start' });
});
/** Time passes in heartbeats, in which these trainers are heard. */
const pass = (heartbeats: number, ...alive: CoordinatorEvent[]): CoordinatorEffect[] => {
  const all: CoordinatorEffect[] = [];
  for (let i = 0; i < heartbeats; i++) {
    now += timings.heartbeatMs;
    for (const event of alive) all.push(...send(leader, event));
    all.push(...send(leader, { kind: 'tick' }));
  }
  return all;
};

describe('the lead', () => {
  it('is taken at once when there is no plan object, and renewed', () => {
    expect(leader.leading).toBe(true);
    expect(stored!.plan).toMatchObject({ generation: 0, members: [], leader: { id: 'c-1', epoch: 1 } });
    pass(10);
    expect(stored!.plan.leader.renewal).toBeGreaterThan(3);
    expect(leader.leading).toBe(true);
  });

  it('is taken over when the object has not changed for the time to live, by the own clock, and given up by the old one', () => {
    const standby = new Coordinator(optionsOf({ id: 'c-2' }));
    send(standby, { kind: 'start' });
    expect(standby.leading).toBe(false);
    pass(4);
    send(standby, { kind: 'tick' });
    now += timings.leadTtlMs - 1;
    send(standby, { kind: 'tick' });
    expect(standby.leading, 'the object has changed since').toBe(false);
    now += timings.leadTtlMs;
    send(standby, { kind: 'tick' });
    expect(standby.leading).toBe(true);
    expect(stored!.plan.leader).toMatchObject({ id: 'c-2', epoch: 2 });
    const effects = send(leader, { kind: 'tick' });
    expect(of(effects, 'stepDown')).toHaveLength(1);
    expect(leader.leading).toBe(false);
    expect(send(leader, beat('t-1')), 'no answers without the lead').toEqual([]);
  });

  it('is free at once when the leader releases it', () => {
    const standby = new Coordinator(optionsOf({ id: 'c-2' }));
    send(standby, { kind: 'start' });
    expect(of(send(leader, { kind: 'release' }), 'released')).toHaveLength(1);
    now += timings.renewMs;
    send(standby, { kind: 'tick' });
    expect(standby.leading).toBe(true);
  });

  it('survives an answer that was lost: the object tells whether the write was done', () => {
    now += timings.renewMs;
    const [swap] = of(leader.handle({ kind: 'tick' }, now), 'swapPlan');
    stored = { plan: swap!.plan, etag: 'written' };
    leader.handle({ kind: 'planFailed', message: 'away' }, now);
    now += timings.heartbeatMs;
    send(leader, { kind: 'tick' });
    expect(leader.leading).toBe(true);
    pass(3);
    expect(stored.plan.leader).toMatchObject({ id: 'c-1', epoch: 1 });
  });

  it('ends by itself when the object cannot be renewed in time', () => {
    now += timings.renewMs;
    leader.handle({ kind: 'tick' }, now);
    leader.handle({ kind: 'planFailed', message: 'away' }, now);
    now += timings.leadTtlMs;
    expect(of(leader.handle({ kind: 'tick' }, now), 'stepDown')).toHaveLength(1);
  });
});

describe('membership', () => {
  it('takes the first trainer whatever it has, others when they have caught up; writes before it announces', () => {
    const first = send(leader, beat('t-1', { step: null, caughtUp: false }));
    expect(lanes()).toEqual({ 't-1': [0, 1, 2, 3] });
    const kinds = first.map(({ kind }) => kind);
    expect(kinds.indexOf('swapPlan')).toBeLessThan(kinds.indexOf('announce'));
    expect(of(first, 'handLeases')[0]!.handOut.leases).toHaveLength(4);
    send(leader, beat('t-2', { caughtUp: false }));
    expect(Object.keys(lanes())).toEqual(['t-1']);
    send(leader, beat('t-2'));
    expect(lanes()).toEqual({ 't-1': [0, 1], 't-2': [2, 3] });
    expect(stored!.plan.generation).toBe(2);
  });

  it('never has more members than lanes', () => {
    for (let i = 0; i < 7; i++) send(leader, beat(`t-${i}`));
    expect(Object.keys(lanes())).toHaveLength(4);
    expect(accepted(send(leader, beat('t-6'))).standing).toBe('follower');
  });

  it('takes out who is silent for the detection interval, at once who is disconnected, and lets survivors keep their lanes', () => {
    for (const id of ['t-1', 't-2', 't-3']) send(leader, beat(id));
    const before = lanes();
    pass(5, beat('t-1'), beat('t-2'));
    expect(Object.keys(lanes())).toEqual(['t-1', 't-2']);
    expect(lanes()['t-1']).toEqual(expect.arrayContaining([...before['t-1']!]));
    const effects = send(leader, { kind: 'disconnected', id: 't-2' });
    expect(of(effects, 'planChanged')[0]!.reason).toBe('t-2 is gone');
    expect(lanes()).toEqual({ 't-1': [0, 1, 2, 3] });
  });

  it('keeps the plan when nobody is left, and gives it to whoever comes', () => {
    send(leader, beat('t-1'));
    pass(10);
    expect(lanes()).toEqual({ 't-1': [0, 1, 2, 3] });
    send(leader, beat('t-9', { step: null, caughtUp: false }));
    expect(lanes()).toEqual({ 't-9': [0, 1, 2, 3] });
  });

  it('judges nobody dead before one detection interval of its own', () => {
    send(leader, beat('t-1'));
    send(leader, beat('t-2'));
    send(leader, { kind: 'release' });
    now += timings.renewMs;
    leader = new Coordinator(optionsOf({ id: 'c-2' }));
    send(leader, { kind: 'start' });
    expect(leader.leading).toBe(true);
    pass(3, beat('t-1'));
    expect(Object.keys(lanes())).toEqual(['t-1', 't-2']);
    pass(2, beat('t-1'));
    expect(Object.keys(lanes())).toEqual(['t-1']);
  });

  it('answers heartbeats of any generation with the plan', () => {
    send(leader, beat('t-1'));
    expect(accepted(send(leader, beat('t-1', { generation: 0 }))).plan.generation).toBe(1);
    expect(accepted(send(leader, beat('t-1', { generation: 99 }))).plan.generation).toBe(1);
  });

  it('refuses another fingerprint and another run, with a sentence', () => {
    send(leader, beat('t-1'));
    expect(stored!.plan.fingerprint).toBe('f');
    const effects = send(leader, beat('t-2', { fingerprint: 'g' }));
    expect(answer(effects)).toMatchObject({
      kind: 'refused',
      code: 'THAW_FINGERPRINT_MISMATCH',
      message: "The run's fingerprint is f, that of t-2 is g.",
    });
    expect(answer(send(leader, beat('t-2', { run: 'other' })))).toMatchObject({
      kind: 'refused',
      code: 'THAW_RUN_CONFLICT',
    });
    expect(Object.keys(lanes())).toEqual(['t-1']);
    pass(10);
    expect(answer(send(leader, beat('t-2', { fingerprint: 'g' }))), 'not even when nobody is left').toMatchObject({
      kind: 'refused',
    });
  });

  it('hands over to another fingerprint on request, once nobody of the old one is alive', () => {
    send(leader, beat('t-1'));
    send(leader, { kind: 'release' });
    now += timings.renewMs;
    leader = new Coordinator(optionsOf({ id: 'c-2', adoptFingerprint: true }));
    send(leader, { kind: 'start' });
    expect(answer(send(leader, beat('t-2', { fingerprint: 'g' }))).kind).toBe('refused');
    pass(5);
    expect(answer(send(leader, beat('t-2', { fingerprint: 'g' }))).kind).toBe('accepted');
    expect(stored!.plan.fingerprint).toBe('g');
  });

  it('lets trainers leave, and the last one only when its state is saved', () => {
    send(leader, beat('t-1', { step: 4 }));
    send(leader, beat('t-2', { step: 4 }));
    send(leader, beat('t-1', { step: 4, leaving: true }));
    expect(Object.keys(lanes())).toEqual(['t-2']);
    expect(accepted(send(leader, beat('t-1', { step: 4, leaving: true }))).standing).toBe('released');
    expect(accepted(send(leader, beat('t-2', { step: 4, leaving: true }))).standing).toBe('last');
    const held = { head, written: [], confirmed: [], readBack: [] };
    expect(accepted(send(leader, beat('t-2', { step: 4, leaving: true, checkpoint: held }))).checkpoint.duty).toEqual({
      step: 4,
      write: [],
      confirm: [],
      readBack: [0, 1],
    });
    const done = send(
      leader,
      beat('t-2', {
        step: 4,
        leaving: true,
        checkpoint: { head, written: [digest(0), digest(1)], confirmed: [], readBack: [0, 1] },
      }),
    );
    expect(of(done, 'commitManifest')).toMatchObject([{ head, fingerprint: 'f', slices: [digest(0), digest(1)] }]);
    send(leader, { kind: 'manifestCommitted', step: 4 });
    expect(accepted(send(leader, beat('t-2', { step: 4, leaving: true }))).standing).toBe('released');
  });

  it('gives missing leases in answers, and none to followers', () => {
    for (let i = 0; i < 4; i++) send(leader, beat(`t-${i}`));
    const generation = stored!.plan.generation;
    expect(accepted(send(leader, beat('t-0'))).leases).toMatchObject({ to: 't-0', generation, throughStep: 8 });
    expect(accepted(send(leader, beat('t-0', { leases: { generation, throughStep: 8 } }))).leases).toBeNull();
    expect(
      accepted(send(leader, beat('t-0', { step: 3, leases: { generation, throughStep: 8 } }))).leases,
    ).toMatchObject({ throughStep: 11 });
    expect(
      accepted(send(leader, beat('t-0', { leases: { generation: generation - 1, throughStep: 99 } }))).leases,
    ).not.toBeNull();
    expect(accepted(send(leader, beat('t-4'))).leases).toBeNull();
  });

  /** Steps, each with a heartbeat of three members of which the third is slow. */
  const slowSteps = (count: number, slowMs = 50): CoordinatorEffect[] =>
    Array.from({ length: count }, (_, step) =>
      pass(
        1,
        beat('t-1', { step, laneMs: 10 }),
        beat('t-2', { step, laneMs: 12 }),
        beat('t-3', { step, laneMs: slowMs }),
      ),
    ).flat();

  it('names a straggler once, after so many steps in a row', () => {
    const named = { kind: 'straggler', id: 't-3', laneMs: 50, medianMs: 10, evicted: false };
    expect(of(slowSteps(10), 'straggler')).toEqual([]);
    expect(of(slowSteps(30), 'straggler')).toEqual([named]);
    expect(of(pass(30, beat('t-3', { step: 50, laneMs: 50 })), 'straggler'), 'no more steps').toEqual([]);
    slowSteps(1, 12);
    expect(of(slowSteps(30), 'straggler'), 'a new spell').toEqual([named]);
  });

  it('evicts a straggler where that is the policy; it stays as a spare and comes in again when nobody else is left', () => {
    leader = new Coordinator(optionsOf({ evictStragglers: true }));
    stored = undefined;
    send(leader, { kind: 'start' });
    const effects = slowSteps(14);
    expect(of(effects, 'straggler')).toMatchObject([{ id: 't-3', evicted: true }]);
    slowSteps(20);
    expect(stored!.plan.members.map(({ id }) => id)).toEqual(['t-1', 't-2']);
    expect(accepted(send(leader, beat('t-3', { step: 30 }))).standing).toBe('follower');
    for (const id of ['t-1', 't-2']) send(leader, { kind: 'disconnected', id });
    send(leader, beat('t-3', { step: 30 }));
    expect(stored!.plan.members.map(({ id }) => id)).toEqual(['t-3']);
  });

  it('moves lanes from a slow member to a fast one, once, and says so', () => {
    const beats = (step: number) => [beat('t-1', { step, laneMs: 10 }), beat('t-2', { step, laneMs: 30 })];
    const effects = Array.from({ length: 40 }, (_, step) => pass(1, ...beats(step))).flat();
    expect(stored!.plan.members.map(({ lanes }) => lanes.length)).toEqual([3, 1]);
    const changes = of(effects, 'planChanged').filter(({ reason }) => reason.startsWith('lanes by speed'));
    expect(changes.map(({ reason }) => reason)).toEqual(['lanes by speed: t-1 has 3, t-2 has 1']);
    expect(of(effects, 'handLeases').at(-1)!.handOut.generation).toBe(stored!.plan.generation);
  });
});

describe('checkpoints', () => {
  const held = (fields: Partial<NonNullable<Heartbeat['checkpoint']>> = {}) => ({
    step: 4,
    checkpoint: { head, written: [], confirmed: [], readBack: [], ...fields },
  });
  beforeEach(() => {
    send(leader, beat('t-1', { step: 4 }));
    send(leader, beat('t-2', { step: 4 }));
  });

  it('have every slice written by one and confirmed by another before the manifest', () => {
    expect(accepted(send(leader, beat('t-1', held()))).checkpoint.duty, 'waits for the other').toBeNull();
    expect(accepted(send(leader, beat('t-2', held()))).checkpoint.duty).toEqual({
      step: 4,
      write: [1],
      confirm: [0],
      readBack: [],
    });
    expect(accepted(send(leader, beat('t-1', held()))).checkpoint.duty).toEqual({
      step: 4,
      write: [0],
      confirm: [1],
      readBack: [],
    });
    send(leader, beat('t-1', held({ written: [digest(0)], confirmed: [digest(1)] })));
    const half = send(leader, beat('t-2', held({ written: [digest(1)] })));
    expect(of(half, 'commitManifest')).toEqual([]);
    const done = send(leader, beat('t-2', held({ written: [digest(1)], confirmed: [digest(0)] })));
    expect(of(done, 'commitManifest')).toMatchObject([{ head, slices: [digest(0), digest(1)] }]);
    const committed = send(leader, { kind: 'manifestCommitted', step: 4 });
    expect(of(committed, 'checkpointCommitted')).toEqual([{ kind: 'checkpointCommitted', step: 4 }]);
    expect(of(committed, 'announce')[0]!.announcement.checkpoint.committedStep).toBe(4);
  });

  it('are not confirmed by their own writer, nor read back while there is a second holder', () => {
    send(leader, beat('t-1', held()));
    send(leader, beat('t-2', held()));
    const effects = send(
      leader,
      beat('t-1', held({ written: [digest(0), digest(1)], confirmed: [digest(0), digest(1)] })),
    );
    expect(of(effects, 'commitManifest')).toEqual([]);
  });

  it('are dropped with an alarm when two holders disagree on a slice or on the state', () => {
    send(leader, beat('t-1', held({ written: [digest(0)] })));
    const effects = send(leader, beat('t-2', held({ confirmed: [digest(0, 'c')] })));
    expect(of(effects, 'alarm')[0]?.code).toBe('THAW_CHECKPOINT_CONFLICT');
    expect(of(effects, 'checkpointAbandoned')).toMatchObject([{ step: 4 }]);
    expect(accepted(send(leader, beat('t-1', held()))).checkpoint.abandonedStep).toBe(4);
    const other = { ...head, step: 6 };
    send(leader, beat('t-1', { step: 6, checkpoint: { head: other, written: [], confirmed: [], readBack: [] } }));
    const state = send(
      leader,
      beat('t-2', {
        step: 6,
        checkpoint: { head: { ...other, historyDigest: 'd'.repeat(64) }, written: [], confirmed: [], readBack: [] },
      }),
    );
    expect(of(state, 'alarm')[0]?.message).toMatch(/another state/);
  });

  it('pass the work of a dead holder on, and let the last one read back', () => {
    send(leader, beat('t-1', held()));
    send(leader, beat('t-2', held()));
    send(leader, beat('t-2', held({ written: [digest(1)] })));
    send(leader, { kind: 'disconnected', id: 't-2' });
    // t-2's slice 1 is confirmed by t-1; slice 0 has no second holder left.
    expect(accepted(send(leader, beat('t-1', held()))).checkpoint.duty).toEqual({
      step: 4,
      write: [],
      confirm: [1],
      readBack: [0],
    });
    const done = send(leader, beat('t-1', held({ written: [digest(0)], readBack: [0], confirmed: [digest(1)] })));
    expect(of(done, 'commitManifest')).toHaveLength(1);
  });

  it('are abandoned when only one of several members holds a copy, or nobody any more', () => {
    const effects = pass(12, beat('t-1', held()), beat('t-2', { step: 5 }));
    expect(of(effects, 'checkpointAbandoned')).toMatchObject([{ step: 4, reason: 'only one member holds a copy' }]);
    send(
      leader,
      beat('t-1', { step: 6, checkpoint: { head: { ...head, step: 6 }, written: [], confirmed: [], readBack: [] } }),
    );
    expect(of(send(leader, { kind: 'disconnected', id: 't-1' }), 'checkpointAbandoned')).toMatchObject([{ step: 6 }]);
  });

  it('given up among several are allowed again for the last trainer, which rests at that boundary', () => {
    pass(12, beat('t-1', held()), beat('t-2', { step: 4 }));
    expect(accepted(send(leader, beat('t-1', { step: 4 }))).checkpoint.abandonedStep).toBe(4);
    send(leader, beat('t-2', { step: 4, leaving: true }));
    const last = accepted(send(leader, beat('t-1', { step: 4, leaving: true })));
    expect(last).toMatchObject({ standing: 'last', checkpoint: { abandonedStep: 3 } });
    expect(accepted(send(leader, beat('t-1', { ...held(), leaving: true }))).checkpoint.duty?.readBack).toEqual([0, 1]);
  });

  it('of the last step are wanted until committed; then the run is finished', () => {
    expect(accepted(send(leader, beat('t-1', { step: 10 }))).checkpoint.wantedStep).toBe(10);
    expect(of(send(leader, { kind: 'manifestCommitted', step: 10 }), 'finished')).toEqual([
      { kind: 'finished', step: 10 },
    ]);
    expect(accepted(send(leader, beat('t-1', { step: 10 }))).checkpoint.wantedStep).toBeNull();
  });

  it('are tried again when the manifest could not be written', () => {
    send(leader, beat('t-1', held({ written: [digest(0)], confirmed: [digest(1)] })));
    expect(
      of(send(leader, beat('t-2', held({ written: [digest(1)], confirmed: [digest(0)] }))), 'commitManifest'),
    ).toHaveLength(1);
    expect(of(send(leader, { kind: 'manifestFailed', step: 4, message: 'away' }), 'commitManifest')).toHaveLength(1);
  });
});

describe('results', () => {
  const report = (...steps: number[]): CoordinatorEvent => ({
    kind: 'stepReport',
    message: {
      run: 'toy',
      id: 't-1',
      results: steps.map((step) => ({ step, laneLosses: [1, 2, 3, 4 + step], skippedLanes: [] })),
    },
  });
  const told = (effects: readonly CoordinatorEffect[]) => of(effects, 'stepKnown').map(({ result }) => result.step);

  it('are told once, in order, and acknowledged', () => {
    expect(told(send(leader, report(0, 1)))).toEqual([0, 1]);
    expect(told(send(leader, report(1, 3)))).toEqual([]);
    expect(told(send(leader, report(2)))).toEqual([2, 3]);
    expect(accepted(send(leader, beat('t-1'))).reportedThrough).toBe(4);
    expect(of(send(leader, report(4)), 'stepKnown')[0]!.loss).toBe((1 + 2 + 3 + 8) / 4);
  });

  it('leave a gap that nobody can fill after a while', () => {
    send(leader, report(5));
    expect(told(pass(4))).toEqual([]);
    expect(told(pass(5))).toEqual([5]);
  });

  it('tell a halted run once', () => {
    const halted = { step: 3, reason: 'two steps were not finite' };
    expect(of(send(leader, beat('t-1', { halted })), 'halted')).toEqual([{ kind: 'halted', ...halted }]);
    expect(of(send(leader, beat('t-1', { halted })), 'halted')).toEqual([]);
  });
});
