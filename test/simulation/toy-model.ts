/**
 * A training run small enough for thousands of schedules: gradients are a function of the weights, the step and the lane, spread over many
 * exponents, with sudden growth (overflow of the head room) and, in some scenarios, lanes that are not finite.
 */
import { createLayout, type Layout } from '@thaw/trainer';

export interface Scenario {
  readonly name: string;
  readonly laneCount: number;
  readonly steps: number;
  readonly checkpointEverySteps: number;
  readonly sliceCount: number;
  /** Probability that a block is much larger in a step than in the one before. */
  readonly spikes: number;
  /** Probability that a lane of a step is not finite. */
  readonly nonFinite: number;
  readonly maxSkippedSteps: number;
  readonly stepsPerEpoch: number;
  readonly layout: Layout;
}

const tensors = [
  { name: 'a', size: 10 },
  { name: 'b', size: 7 },
  { name: 'c', size: 33 },
  { name: 'd', size: 1 },
];

const scenario = (name: string, laneCount: number, fields: Partial<Scenario> = {}): Scenario => ({
  name,
  laneCount,
  steps: 9,
  checkpointEverySteps: 4,
  sliceCount: 3,
  spikes: 0.1,
  nonFinite: 0,
  maxSkippedSteps: 3,
  stepsPerEpoch: 4,
  // Blocks of 4 values, chunks of 4 blocks: 51 values, 16 blocks, 4 chunks.
  layout: createLayout(tensors, laneCount, { blockValues: 4, minChunkBytes: 64, maxChunkBytes: 64 }),
  ...fields,
});

export const scenarios: readonly Scenario[] = [
  scenario('four lanes', 4),
  scenario('five lanes, non-finite lanes', 5, { nonFinite: 0.08 }),
  scenario('two lanes, no overflow', 2, { spikes: 0, checkpointEverySteps: 3 }),
  scenario('one lane', 1, { steps: 6 }),
  scenario('six lanes, overflow everywhere', 6, { spikes: 0.5, steps: 7, checkpointEverySteps: 2 }),
  scenario('four lanes, ends halted', 4, { nonFinite: 0.5, maxSkippedSteps: 2 }),
  scenario('one chunk', 3, { layout: createLayout(tensors, 3, { blockValues: 4 }) }),
];

/** A well mixed 32-bit hash of small integers. */
export function mix(a: number, b: number, c: number, d: number): number {
  let h = 0x9e3779b9 ^ a;
  for (const x of [b, c, d]) {
    h = Math.imul(h ^ (h >>> 16), 0x85ebca6b) ^ Math.imul(x + 0x7f4a7c15, 0xc2b2ae35);
    h = Math.imul(h ^ (h >>> 13), 0x27d4eb2f);
  }
  return (h ^ (h >>> 16)) >>> 0;
}
const unit = (h: number): number => h / 2 ** 32;

export function initialWeights(layout: Layout): Float32Array {
  return Float32Array.from({ length: layout.valueCount }, (_, i) => unit(mix(1, i, 0, 0)) - 0.5);
}

/**
 * Writes the gradient values [start, end) of a lane.
 * @param weights live: whatever they are now is used
 */
export function fillGradient(
  scenario: Scenario,
  weights: Float32Array,
  step: number,
  lane: number,
  start: number,
  end: number,
  into: Float32Array,
): void {
  const { layout } = scenario;
  let block = 0;
  for (let i = start; i < end; i++) {
    while (layout.blockStarts[block + 1]! <= i) block++;
    const spike = unit(mix(2, step, block, 0)) < scenario.spikes;
    // Every block has its own magnitude, from 2^-60 to 2^3; a few are zero for a while.
    const size = (mix(3, block, 0, 0) % 64) - 60 + (spike ? 24 : 0);
    const dead = mix(4, step, block, 0) % 16 === 0;
    into[i] = dead ? 0 : (weights[i]! * 0.75 + unit(mix(5, step, lane, i)) - 0.5) * 2 ** size;
  }
  if (isNonFinite(scenario, step, lane)) {
    const at = mix(7, step, lane, 0) % layout.valueCount;
    if (at >= start && at < end) into[at] = mix(8, step, lane, 0) % 2 === 0 ? NaN : -Infinity;
  }
}

export const isNonFinite = (scenario: Scenario, step: number, lane: number): boolean =>
  unit(mix(6, step, lane, 0)) < scenario.nonFinite;

export const lossOf = (weights: Float32Array, step: number, lane: number): number =>
  Math.fround(Math.abs(weights[0]!) + unit(mix(9, step, lane, 0)));
