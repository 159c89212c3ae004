import {
  decodeFrame,
  deriveTimings,
  encodeFrame,
  frame,
  runHash,
  type AcceptedAnswer,
  type BulkFrame,
  type Plan,
} from '@thaw/shared/protocol';
import { beforeEach, describe, expect, it } from 'vitest';
import { createLayout } from '../reduce/index.js';
import { emptyArrays, initialState, Trainer, type TrainerEffect, type TrainerEvent } from './index.js';

const run = 'toy';
const timings = deriveTimings(100);
const layout = createLayout([{ name: 'w', size: 12 }], 2, { blockValues: 4, minChunkBytes: 32, maxChunkBytes: 32 });

const planOf = (generation: number, lanes: Record<string, number[]>): Plan => ({
  format: 'thaw.plan/1',
  run,
  fingerprint: 'f',
  generation,
  laneCount: 2,
  leader: { id: 'c-1', epoch: 1, renewal: 0, released: false },
  members: Object.entries(lanes)
    .sort()
    .map(([id, list]) => ({ id, lanes: list })),
});
const answerOf = (plan: Plan, fields: Partial<AcceptedAnswer> = {}): TrainerEvent => ({
  kind: 'heartbeatAnswer',
  answer: {
    kind: 'accepted',
    plan,
    standing: 'member',
    maxStep: 0,
    reportedThrough: 0,
    leases: null,
    checkpoint: { committedStep: null, abandonedStep: null, wantedStep: null, duty: null },
    ...fields,
  },
});

let now = 0;
let trainer: Trainer;
let arrays: ReturnType<typeof emptyArrays>;
const weights = Float32Array.from({ length: 12 }, (_, i) => i / 8);

const send = (event: TrainerEvent): TrainerEffect[] => trainer.handle(event, now);
const of = <K extends TrainerEffect['kind']>(effects: readonly TrainerEffect[], kind: K) =>
  effects.filter((effect): effect is Extract<TrainerEffect, { kind: K }> => effect.kind === kind);
const framesIn = (effects: readonly TrainerEffect[]): BulkFrame[] =>
  of(effects, 'sendFrame').map(({ parts }) => decodeFrame(Buffer.concat(parts)));
const receive = (fields: Parameters<typeof frame>[0] | Omit<Parameters<typeof frame>[0], 'run'>): TrainerEffect[] =>
  send({ kind: 'frame', bytes: new Uint8Array(Buffer.concat(encodeFrame(frame({ run: runHash(run), ...fields })))) });
const lane = (number: number, value: number, step = 0): TrainerEffect[] =>
  send({ kind: 'laneDone', step, lane: number, loss: value, gradient: new Float32Array(12).fill(value), computeMs: 5 });

beforeEach(() => {
  now = 0;
  arrays = emptyArrays(layout);
  trainer = new Trainer({
    run,
    id: 'a-1',
    fingerprint: 'f',
    layout,
    laneCount: 2,
    steps: 3,
    arrays,
    timings,
    maxSkippedSteps: 2,
    checkpointEverySteps: 2,
    optimizer: { learningRate: 0.1, beta1: 0.9, beta2: 0.99, epsilon: 1e-8, warmupSteps: 0 },
    ema: { decay: 0.9, every: 1, startStep: 1 },
  });
});
const begin = (plan: Plan): TrainerEffect[] => {
  send({ kind: 'start' });
  send(answerOf(plan));
  return send({ kind: 'stateLoaded', state: initialState(run, weights.slice(), layout.blockCount) });
};

describe('a trainer alone', () => {
  it('asks for state, loads it when nobody offers any, computes its lanes, applies, reports', () => {
    const started = send({ kind: 'start' });
    expect(framesIn(started)).toMatchObject([{ type: 'want', kind: 'wantState' }]);
    expect(of(started, 'heartbeat')[0]!.message).toMatchObject({ step: null, generation: 0 });
    now = timings.offerMs;
    expect(of(send({ kind: 'tick' }), 'loadState')).toHaveLength(1);
    const loaded = send({ kind: 'stateLoaded', state: initialState(run, weights.slice(), layout.blockCount) });
    expect(of(loaded, 'stateTaken')[0]).toMatchObject({ from: 'checkpoint' });
    expect(of(loaded, 'computeLane')).toEqual([]);
    const planned = send(answerOf(planOf(1, { 'a-1': [0, 1] })));
    expect(of(planned, 'computeLane').map((effect) => effect.lane)).toEqual([0, 1]);
    expect(of(lane(0, 0.5), 'stepApplied')).toEqual([]);
    const applied = lane(1, 0.25);
    expect(of(applied, 'stepApplied')[0]!.result).toEqual({ step: 0, laneLosses: [0.5, 0.25], skippedLanes: [] });
    expect(of(applied, 'stepReport')[0]!.message.results).toHaveLength(1);
    expect(of(applied, 'releaseGradient')).toHaveLength(2);
    expect(of(applied, 'computeLane').map((effect) => [effect.step, effect.lane])).toEqual([
      [1, 0],
      [1, 1],
    ]);
    // Adam's first step moves every weight by the learning rate against the sign of the gradient.
    for (let i = 0; i < 12; i++) expect(arrays.weights[i]).toBeCloseTo(weights[i]! - 0.1, 5);
  });

  it('skips a step with a lane that is not finite, without touching anything but the counters, and halts after too many', () => {
    begin(planOf(1, { 'a-1': [0, 1] }));
    lane(0, 1);
    const skipped = lane(1, NaN);
    expect(of(skipped, 'stepApplied')[0]).toMatchObject({
      result: { skippedLanes: [1], laneLosses: [1, NaN] },
      head: { step: 1, skippedInARow: 1, beta1Product: 1 },
    });
    expect(arrays.weights).toEqual(weights);
    lane(0, Infinity, 1);
    const halted = lane(1, 1, 1);
    expect(of(halted, 'halted')).toHaveLength(1);
    expect(of(halted, 'computeLane')).toEqual([]);
    expect(of(halted, 'heartbeat')[0]!.message.halted).toMatchObject({ step: 2 });
  });

  it('gives late, cancelled and unasked results back, and asks again for failed lanes only at the next tick', () => {
    begin(planOf(1, { 'a-1': [0, 1] }));
    expect(of(lane(0, 1, 7), 'releaseGradient')).toHaveLength(1);
    lane(0, 1);
    expect(of(lane(0, 2), 'releaseGradient'), 'twice').toHaveLength(1);
    expect(of(send({ kind: 'laneFailed', step: 0, lane: 1, message: 'no memory' }), 'computeLane')).toEqual([]);
    expect(of(send({ kind: 'tick' }), 'computeLane')).toMatchObject([{ lane: 1 }]);
  });
});

describe('a member among others', () => {
  it('sends contributions to owners, keeps lanes when the plan takes one away, and computes only what is missing', () => {
    begin(planOf(1, { 'a-1': [0], 'b-1': [1] }));
    const sent = lane(0, 1);
    // Chunk 0 is a's own, chunk 1 is b's.
    expect(of(sent, 'sendFrame').map(({ to }) => to)).toEqual([{ id: 'b-1' }]);
    expect(framesIn(sent)[0]).toMatchObject({ type: 'contribution', kind: 'needs', chunk: 1, generation: 1 });
    const alone = send({
      kind: 'announcement',
      announcement: { plan: planOf(2, { 'a-1': [0, 1] }), checkpoint: { committedStep: null, abandonedStep: null } },
    });
    expect(of(alone, 'computeLane').map((effect) => effect.lane)).toEqual([1]);
    const back = send({
      kind: 'announcement',
      announcement: {
        plan: planOf(3, { 'a-1': [0], 'b-2': [1] }),
        checkpoint: { committedStep: null, abandonedStep: null },
      },
    });
    expect(of(back, 'cancelLane')).toMatchObject([{ step: 0, lane: 1 }]);
    expect(of(back, 'computeLane'), 'lane 0 is kept').toEqual([]);
    expect(framesIn(back)).toMatchObject([{ type: 'contribution', generation: 3, chunk: 1 }]);
  });

  it('ignores a plan that is not newer, of another run, or of another number of lanes', () => {
    begin(planOf(5, { 'a-1': [0], 'b-1': [1] }));
    for (const plan of [
      planOf(5, { 'a-1': [0, 1] }),
      planOf(4, { 'b-1': [0, 1] }),
      { ...planOf(6, { 'a-1': [0, 1] }), run: 'other' },
    ])
      expect(of(send({ kind: 'planRead', plan }), 'planAdopted')).toEqual([]);
    expect(trainer.plan?.generation).toBe(5);
  });

  it('refuses what follows another history, with an alarm', () => {
    begin(planOf(1, { 'a-1': [0], 'b-1': [1] }));
    const effects = receive({
      type: 'total',
      kind: 'skip',
      source: 'b-1',
      step: 0,
      chunk: 1,
      generation: 1,
      items: [1],
      historyDigest: 'f'.repeat(64),
    });
    expect(of(effects, 'alarm')[0]?.code).toBe('THAW_HISTORY_DIVERGED');
  });

  it('survives frames that are garbage, of other runs, of chunks that do not exist and of wrong sizes', () => {
    begin(planOf(1, { 'a-1': [0], 'b-1': [1] }));
    expect(of(send({ kind: 'frame', bytes: Uint8Array.of(1, 2, 3) }), 'alarm')[0]?.code).toBe('THAW_PROTOCOL_INVALID');
    const historyDigest = initialState(run, weights.slice(), 1).head.historyDigest;
    const total = {
      type: 'total',
      kind: 'sum',
      source: 'b-1',
      step: 0,
      historyDigest,
      exponents: new Int8Array(2),
      data: new Uint8Array(32),
    } as const;
    receive({ ...total, run: runHash('other'), chunk: 1 });
    receive({ ...total, chunk: 99 });
    receive({ ...total, chunk: 0xffffffff });
    receive({ ...total, chunk: 1, data: new Uint8Array(8) });
    receive({ ...total, chunk: 1, exponents: new Int8Array(7) });
    receive({
      ...total,
      chunk: 0,
      losses: [
        { lane: 1, loss: 0 },
        { lane: 0, loss: 0 },
      ],
    });
    receive({ type: 'want', kind: 'wantTotal', source: 'b-1', step: 0, items: [0, 99] });
    receive({ type: 'request', kind: 'none', source: 'b-1', step: 0, chunk: 0xfffffff0, count: 0xffffffff });
    expect(trainer.step).toBe(0);
    lane(0, 1);
    expect(trainer.step, 'nothing of it was taken for a total').toBe(0);
  });

  it('reads the plan object when it hears of a higher generation and when it stalls, one read at a time', () => {
    begin(planOf(1, { 'a-1': [0], 'b-1': [1] }));
    expect(
      of(receive({ type: 'offer', kind: 'none', source: 'b-1', step: 0, generation: 2 }), 'readPlan'),
    ).toHaveLength(1);
    expect(
      of(receive({ type: 'offer', kind: 'none', source: 'b-1', step: 0, generation: 2 }), 'readPlan'),
    ).toHaveLength(0);
    send({ kind: 'planRead', plan: undefined });
    now += timings.stallMs;
    expect(of(send({ kind: 'tick' }), 'readPlan')).toHaveLength(1);
    expect(of(send({ kind: 'tick' }), 'readPlan')).toHaveLength(0);
  });

  it('does not use a range whose bytes are not what their digest says', () => {
    send({ kind: 'start' });
    const offered = receive({ type: 'offer', kind: 'none', source: 'b-1', step: 4 });
    expect(framesIn(offered)).toMatchObject([{ type: 'request', step: 4, chunk: 0 }]);
    receive({
      type: 'range',
      kind: 'none',
      source: 'b-1',
      step: 4,
      chunk: 0,
      data: new Uint8Array(24),
      dataDigest: '0'.repeat(64),
    });
    now += timings.wantMs;
    expect(framesIn(send({ kind: 'tick' })), 'asked again').toMatchObject([{ type: 'request', step: 4, chunk: 0 }]);
  });

  it('keeps leases of a plan it has not heard of until it does, and drops those of an older one', () => {
    begin(planOf(2, { 'a-1': [0], 'b-1': [1] }));
    const handOut = (generation: number) => ({
      run,
      to: 'a-1',
      generation,
      throughStep: 8,
      leases: [{ epoch: 0, lane: 0, firstStep: 0, stepCount: 8, generation, reads: [] }],
    });
    expect(of(send({ kind: 'leases', handOut: handOut(1) }), 'holdLeases')).toEqual([]);
    expect(of(send({ kind: 'leases', handOut: handOut(3) }), 'holdLeases')).toEqual([]);
    expect(of(send({ kind: 'leases', handOut: { ...handOut(2), to: 'b-1' } }), 'holdLeases')).toEqual([]);
    expect(of(send({ kind: 'leases', handOut: handOut(2) }), 'holdLeases')).toHaveLength(1);
    const adopted = send({ kind: 'planRead', plan: planOf(3, { 'a-1': [0, 1] }) });
    expect(adopted.map(({ kind }) => kind).filter((kind) => kind === 'planAdopted' || kind === 'holdLeases')).toEqual([
      'planAdopted',
      'holdLeases',
    ]);
  });
});

describe('a trainer at the end', () => {
  it('leaves when the plan is without it', () => {
    begin(planOf(1, { 'a-1': [0], 'b-1': [1] }));
    expect(of(send({ kind: 'leave' }), 'heartbeat')[0]!.message.leaving).toBe(true);
    expect(of(send({ kind: 'tick' }), 'left')).toEqual([]);
    const effects = send({ kind: 'planRead', plan: planOf(2, { 'b-1': [0, 1] }) });
    expect(effects.at(-1)?.kind).toBe('left');
    expect(send({ kind: 'tick' })).toEqual([]);
  });

  it('leaves within its time when nobody answers', () => {
    begin(planOf(1, { 'a-1': [0, 1] }));
    send({ kind: 'leave' });
    now += timings.leaveMs - 1;
    expect(of(send({ kind: 'tick' }), 'left')).toEqual([]);
    now += 1;
    expect(of(send({ kind: 'tick' }), 'left')).toHaveLength(1);
    expect(timings.leaveMs).toBeLessThan(5000);
  });

  it('as the last one stops at its boundary, has its state saved, and goes when it is', () => {
    const plan = planOf(1, { 'a-1': [0, 1] });
    begin(plan);
    lane(0, 1);
    lane(1, 1);
    send({ kind: 'leave' });
    const last = send(answerOf(plan, { standing: 'last' }));
    expect(of(last, 'copyState')).toMatchObject([{ head: { step: 1 } }]);
    expect(of(last, 'cancelLanes')).toMatchObject([{ step: 1 }]);
    expect(of(lane(0, 1, 1), 'stepApplied')).toEqual([]);
    const checkpoint = {
      committedStep: null,
      abandonedStep: null,
      wantedStep: null,
      duty: { step: 1, write: [], confirm: [], readBack: [0] },
    };
    expect(of(send(answerOf(plan, { standing: 'last', checkpoint })), 'writeSlice')).toMatchObject([
      { slice: 0, readBack: true },
    ]);
    expect(of(send(answerOf(plan, { standing: 'last', checkpoint })), 'writeSlice'), 'once').toEqual([]);
    const written = send({ kind: 'sliceWritten', step: 1, slice: 0, sha256: 'a'.repeat(64), bytes: 3, readBack: true });
    expect(of(written, 'heartbeat')[0]!.message.checkpoint).toMatchObject({ readBack: [0] });
    expect(of(send(answerOf(plan, { standing: 'released' })), 'left')).toHaveLength(1);
  });

  it('does not copy a boundary again that the leader has given up or committed', () => {
    const plan = planOf(1, { 'a-1': [0, 1] });
    begin(plan);
    lane(0, 1);
    lane(1, 1);
    send({ kind: 'leave' });
    for (const settled of [
      { committedStep: null, abandonedStep: 1 },
      { committedStep: 1, abandonedStep: null },
    ]) {
      const checkpoint = { ...settled, wantedStep: 1, duty: null };
      expect(of(send(answerOf(plan, { standing: 'last', checkpoint })), 'copyState')).toEqual([]);
    }
  });

  it('stops when the leader refuses it', () => {
    send({ kind: 'start' });
    const effects = send({
      kind: 'heartbeatAnswer',
      answer: { kind: 'refused', code: 'THAW_FINGERPRINT_MISMATCH', message: 'other engine' },
    });
    expect(effects).toEqual([{ kind: 'refused', code: 'THAW_FINGERPRINT_MISMATCH', message: 'other engine' }]);
    expect(send({ kind: 'tick' })).toEqual([]);
  });

  it('copies its state at the boundaries of checkpoints, before anything moves on', () => {
    const plan = planOf(1, { 'a-1': [0, 1] });
    begin(plan);
    lane(0, 1);
    lane(1, 1);
    lane(0, 1, 1);
    const [copy, ...others] = of(lane(1, 1, 1), 'copyState');
    expect(copy).toMatchObject({ head: { step: 2 } });
    expect(others).toEqual([]);
    const boundary = structuredClone(arrays);
    expect([...copy!.arrays.weights]).toEqual([...boundary.weights]);
    lane(0, 2, 2);
    expect(of(lane(1, 2, 2), 'stepApplied')).toHaveLength(1);
    expect(arrays.weights).not.toEqual(boundary.weights);
    for (const name of ['weights', 'ema', 'firstMoment', 'secondMoment', 'exponents'] as const)
      expect([...copy!.arrays[name]], name).toEqual([...boundary[name]]);
    const news = { committedStep: 2, abandonedStep: null };
    expect(of(send({ kind: 'announcement', announcement: { plan, checkpoint: news } }), 'dropCopy')).toEqual([
      { kind: 'dropCopy', step: 2 },
    ]);
  });
});
