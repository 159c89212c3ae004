/** What every undisturbed run of a scenario does: a single trainer with all lanes, no network. Cached per scenario. */
import { sha256Hex, type Plan, type StateHead } from '@thaw/shared/protocol';
import {
  emptyArrays,
  initialState,
  Trainer,
  type TrainerEffect,
  type TrainerEvent,
  type TrainerOptions,
  type TrainingArrays,
} from '@thaw/trainer';
import { deriveTimings } from '@thaw/shared/protocol';
import { fillGradient, initialWeights, lossOf, type Scenario } from './toy-model.js';

export const run = 'toy';
export const timings = deriveTimings(100);

export interface Boundary {
  readonly head: StateHead;
  readonly arrays: TrainingArrays;
  /** SHA-256 of each slice of a checkpoint here. */
  readonly slices: readonly string[];
}
export interface Oracle {
  /** By step. */
  readonly boundaries: readonly Boundary[];
  /** "step/chunk" -> digest of exponents, sums, losses and skipped lanes of the total. */
  readonly totals: ReadonlyMap<string, string>;
  readonly losses: readonly (readonly number[])[];
  readonly skippedLanes: readonly (readonly number[])[];
}

export const trainerOptions = (scenario: Scenario, id: string, arrays: TrainingArrays): TrainerOptions => ({
  run,
  id,
  arrays,
  timings,
  fingerprint: 'same',
  layout: scenario.layout,
  laneCount: scenario.laneCount,
  steps: scenario.steps,
  optimizer: { learningRate: 0.01, beta1: 0.9, beta2: 0.99, epsilon: 1e-8, warmupSteps: 3 },
  ema: { decay: 0.9, every: 2, startStep: 4 },
  maxSkippedSteps: scenario.maxSkippedSteps,
  checkpointEverySteps: scenario.checkpointEverySteps,
});

/** Bytes of one slice of a copy: a share of every array. */
export function sliceBytes(arrays: TrainingArrays, slice: number, sliceCount: number): Uint8Array {
  const parts = arrayList(arrays).map((array) => {
    const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    return bytes.subarray(
      Math.floor((bytes.length * slice) / sliceCount),
      Math.floor((bytes.length * (slice + 1)) / sliceCount),
    );
  });
  return Buffer.concat(parts);
}
export function placeSlice(bytes: Uint8Array, arrays: TrainingArrays, slice: number, sliceCount: number): void {
  let at = 0;
  for (const array of arrayList(arrays)) {
    const all = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    const start = Math.floor((all.length * slice) / sliceCount);
    const end = Math.floor((all.length * (slice + 1)) / sliceCount);
    all.set(bytes.subarray(at, at + end - start), start);
    at += end - start;
  }
}
const arrayList = (a: TrainingArrays): (Float32Array | Int8Array)[] => [
  a.weights,
  a.ema,
  a.firstMoment,
  a.secondMoment,
  a.exponents,
];

/** Name of the first array whose bits differ, or undefined. */
export function difference(a: TrainingArrays, b: TrainingArrays): string | undefined {
  for (const name of ['weights', 'ema', 'firstMoment', 'secondMoment', 'exponents'] as const) {
    const x = a[name];
    const y = b[name];
    if (
      Buffer.compare(
        Buffer.from(x.buffer, x.byteOffset, x.byteLength),
        Buffer.from(y.buffer, y.byteOffset, y.byteLength),
      ) !== 0
    )
      return name;
  }
  return undefined;
}

const cache = new Map<string, Oracle>();
export function oracleOf(scenario: Scenario): Oracle {
  const known = cache.get(scenario.name);
  if (known !== undefined) return known;
  const made = makeOracle(scenario);
  cache.set(scenario.name, made);
  return made;
}

function makeOracle(scenario: Scenario): Oracle {
  const arrays = emptyArrays(scenario.layout);
  const trainer = new Trainer(trainerOptions(scenario, 'oracle-0', arrays));
  const boundaries: Boundary[] = [];
  const losses: (readonly number[])[] = [];
  const skippedLanes: (readonly number[])[] = [];
  const keep = (head: StateHead): void => {
    const copy = structuredClone(arrays);
    const slices = Array.from({ length: scenario.sliceCount }, (_, slice) =>
      sha256Hex(sliceBytes(copy, slice, scenario.sliceCount)),
    );
    boundaries.push({ head, arrays: copy, slices });
  };
  const queue: TrainerEvent[] = [];
  const perform = (effects: readonly TrainerEffect[]): void => {
    for (const effect of effects) {
      if (effect.kind === 'stateTaken') keep(effect.head);
      else if (effect.kind === 'stepApplied') {
        keep(effect.head);
        losses.push(effect.result.laneLosses);
        skippedLanes.push(effect.result.skippedLanes);
      } else if (effect.kind === 'computeLane') {
        const gradient = new Float32Array(scenario.layout.valueCount);
        const { step, lane } = effect;
        fillGradient(scenario, arrays.weights, step, lane, 0, gradient.length, gradient);
        queue.push({ kind: 'laneDone', step, lane, gradient, loss: lossOf(arrays.weights, step, lane), computeMs: 1 });
      }
    }
  };
  const plan: Plan = {
    format: 'thaw.plan/1',
    run,
    fingerprint: 'same',
    laneCount: scenario.laneCount,
    generation: 1,
    leader: { id: 'oracle-leader', epoch: 1, renewal: 0, released: false },
    members: [{ id: 'oracle-0', lanes: Array.from({ length: scenario.laneCount }, (_, lane) => lane) }],
  };
  perform(trainer.handle({ kind: 'start' }, 0));
  perform(trainer.handle({ kind: 'planRead', plan }, 0));
  perform(
    trainer.handle(
      { kind: 'stateLoaded', state: initialState(run, initialWeights(scenario.layout), scenario.layout.blockCount) },
      0,
    ),
  );
  for (let event = queue.shift(); event !== undefined; event = queue.shift()) perform(trainer.handle(event, 0));
  return { boundaries, totals: new Map(), losses, skippedLanes };
}
