/** Large arrays are worked on slice by slice: heartbeats, and whatever else happens, come in between. */
import { decodeFrame, deriveTimings, encodeFrame, frame, runHash, type Plan } from '@thaw/shared/protocol';
import { describe, expect, it } from 'vitest';
import { plainKernels, type ArrayKernels } from '../kernels/index.js';
import { createLayout, type Layout } from '../reduce/index.js';
import { emptyArrays, initialState, Trainer, type TrainerEffect, type TrainerEvent } from './index.js';

const run = 'toy';
const timings = deriveTimings(100);
const plan: Plan = {
  format: 'thaw.plan/1',
  run,
  fingerprint: 'f',
  generation: 1,
  laneCount: 2,
  leader: { id: 'c-1', epoch: 1, renewal: 0, released: false },
  members: [{ id: 'a-1', lanes: [0, 1] }],
};
const of = <K extends TrainerEffect['kind']>(effects: readonly TrainerEffect[], kind: K) =>
  effects.filter((effect): effect is Extract<TrainerEffect, { kind: K }> => effect.kind === kind);

function trainerOf(layout: Layout, fields: { kernels?: ArrayKernels; sliceValues?: number; every?: number }) {
  const arrays = emptyArrays(layout);
  const { every = 1000, ...more } = fields;
  const trainer = new Trainer({
    run,
    id: 'a-1',
    fingerprint: 'f',
    layout,
    laneCount: 2,
    steps: 4,
    arrays,
    timings,
    maxSkippedSteps: 2,
    checkpointEverySteps: every,
    optimizer: { learningRate: 0.1, beta1: 0.9, beta2: 0.99, epsilon: 1e-8, warmupSteps: 0 },
    ema: { decay: 0.9, every: 1, startStep: 1 },
    ...more,
  });
  return { arrays, trainer };
}

describe('a trainer of a network with 50 million values', () => {
  it('answers a tick with a heartbeat at least every 100 ms while it installs, sums and applies', () => {
    // Kernels that only count: what is tested is how much work there is between two events, not the work.
    let values = 0;
    const count = (layout: Layout, first: number, end: number): void => {
      values += layout.blockStarts[end]! - layout.blockStarts[first]!;
    };
    const kernels: ArrayKernels = { ...plainKernels, blockMaxima: count, addQuantised: count, update: count };
    const layout = createLayout([{ name: 'w', size: 50_331_648 }], 2);
    const { trainer } = trainerOf(layout, { kernels });
    // 10 ns a value: several times what the kernels need.
    const msPerValue = 1e-5;
    let now = 0;
    let nextTick = 0;
    let continues = 0;
    const heartbeats: number[] = [];
    const handle = (event: TrainerEvent): TrainerEffect[] => {
      values = 0;
      const effects = trainer.handle(event, now);
      now += values * msPerValue;
      if (of(effects, 'heartbeat').length > 0) heartbeats.push(now);
      return effects;
    };
    const untilIdle = (first: readonly TrainerEffect[]): TrainerEffect[] => {
      const all = [...first];
      for (let pending = of(first, 'continue').length; pending > 0;) {
        expect(pending).toBe(1);
        // The loop's next turn: timers that are due, then what asked to go on.
        while (nextTick <= now) {
          all.push(...handle({ kind: 'tick' }));
          nextTick += timings.heartbeatMs / 4;
        }
        continues++;
        const more = handle({ kind: 'continue' });
        pending = of(more, 'continue').length;
        all.push(...more);
      }
      return all;
    };
    handle({ kind: 'start' });
    handle({ kind: 'announcement', announcement: { plan, checkpoint: { committedStep: null, abandonedStep: null } } });
    untilIdle(
      handle({ kind: 'stateLoaded', state: initialState(run, new Float32Array(layout.valueCount), layout.blockCount) }),
    );
    expect(trainer.step).toBe(0);
    expect(continues).toBeGreaterThan(10);
    const beforeStep = now;
    const gradient = new Float32Array(layout.valueCount);
    for (const lane of [0, 1]) untilIdle(handle({ kind: 'laneDone', step: 0, lane, loss: 1, gradient, computeMs: 5 }));
    expect(trainer.step).toBe(1);
    // Two lanes measured and quantised, one update.
    expect(now - beforeStep).toBeGreaterThanOrEqual(5 * layout.valueCount * msPerValue);
    expect(heartbeats.filter((at) => at > beforeStep).length).toBeGreaterThan(10);
    for (let i = 1; i < heartbeats.length; i++)
      expect(heartbeats[i]! - heartbeats[i - 1]!).toBeLessThanOrEqual(timings.heartbeatMs + 100);
  });
});

describe('between two slices', () => {
  const layout = createLayout([{ name: 'w', size: 64 }], 2, { blockValues: 4, minChunkBytes: 32, maxChunkBytes: 32 });
  const weights = Float32Array.from({ length: 64 }, (_, i) => i / 8);
  const state = () => initialState(run, weights.slice(), layout.blockCount);
  const lane = (number: number, step: number): TrainerEvent => ({
    kind: 'laneDone',
    step,
    lane: number,
    loss: 1,
    gradient: new Float32Array(64).fill(number + 1),
    computeMs: 5,
  });
  const request = (): TrainerEvent => {
    const fields = {
      run: runHash(run),
      type: 'request',
      kind: 'none',
      source: 'b-1',
      step: 0,
      chunk: 0,
      count: 4,
    } as const;
    return { kind: 'frame', bytes: new Uint8Array(Buffer.concat(encodeFrame(frame(fields)))) };
  };
  const announced: TrainerEvent = {
    kind: 'announcement',
    announcement: { plan, checkpoint: { committedStep: null, abandonedStep: null } },
  };

  /** Starts, and hands in both lanes of step 0, with slices of `sliceValues`. */
  function begin(sliceValues: number, every?: number) {
    const { arrays, trainer } = trainerOf(layout, { sliceValues, ...(every && { every }) });
    const handle = (event: TrainerEvent) => trainer.handle(event, 0);
    const goOn = (effects: readonly TrainerEffect[]): TrainerEffect[] => {
      const all = [...effects];
      for (let more = effects; of(more, 'continue').length > 0;) all.push(...(more = handle({ kind: 'continue' })));
      return all;
    };
    handle({ kind: 'start' });
    goOn([...handle(announced), ...handle({ kind: 'stateLoaded', state: state() })]);
    handle(lane(0, 0));
    return { arrays, trainer, handle, goOn };
  }

  it('the steps come to the same bits, whatever the size of a slice', () => {
    const finish = (sliceValues: number) => {
      const { arrays, trainer, handle, goOn } = begin(sliceValues);
      goOn(handle(lane(1, 0)));
      for (let step = 1; step < 4; step++) for (const number of [0, 1]) goOn(handle(lane(number, step)));
      expect(trainer.step).toBe(4);
      return arrays;
    };
    const whole = finish(1e6);
    expect(whole.weights).not.toEqual(weights);
    for (const sliceValues of [1, 5, 17, 64, 100]) expect(finish(sliceValues)).toEqual(whole);
  });

  it('a state that is being changed is not given away; the asker gets the next boundary, whole', () => {
    const { trainer, handle, goOn } = begin(8);
    handle(lane(1, 0));
    while (!trainer.changing) handle({ kind: 'continue' });
    expect(of(handle(request()), 'sendFrame')).toEqual([]);
    expect(trainer.changing).toBe(true);
    expect(trainer.step).toBe(0);
    const ranges = of(goOn([{ kind: 'continue' }]), 'sendFrame')
      .map(({ parts }) => decodeFrame(Buffer.concat(parts)))
      .filter(({ type }) => type === 'range');
    expect(ranges.map(({ step }) => step)).toEqual([1, 1, 1, 1]);
  });

  it('a checkpoint copies its boundary before the next step is applied, while lanes already run', () => {
    const { arrays, trainer, handle, goOn } = begin(16, 1);
    let effects = handle(lane(1, 0));
    while (of(effects, 'stepApplied').length === 0) effects = handle({ kind: 'continue' });
    while (of(effects, 'computeLane').length === 0) effects = handle({ kind: 'continue' });
    const boundary = structuredClone(arrays);
    // The next step is all there before the copy is.
    const early = [...handle(lane(0, 1)), ...handle(lane(1, 1))];
    expect(of([...effects, ...early], 'copyState')).toEqual([]);
    const rest = goOn([{ kind: 'continue' }]);
    const [copy] = of(rest, 'copyState');
    expect(copy!.head.step).toBe(1);
    for (const name of ['weights', 'ema', 'firstMoment', 'secondMoment', 'exponents'] as const)
      expect([...copy!.arrays[name]], name).toEqual([...boundary[name]]);
    expect(rest.findIndex(({ kind }) => kind === 'copyState')).toBeLessThan(
      rest.findIndex(({ kind }) => kind === 'stepApplied'),
    );
    expect(trainer.step).toBe(2);
  });

  it('the same state loaded again does not begin its installation anew', () => {
    const { trainer } = trainerOf(layout, { sliceValues: 100 });
    trainer.handle({ kind: 'start' }, 0);
    let effects = trainer.handle({ kind: 'stateLoaded', state: state() }, 0);
    let turns = 0;
    for (; trainer.step < 0; turns++) {
      expect(of(effects, 'continue')).toHaveLength(1);
      expect(trainer.handle({ kind: 'stateLoaded', state: state() }, 0)).toEqual([]);
      effects = trainer.handle({ kind: 'continue' }, 0);
    }
    expect(turns).toBe(2);
  });
});
