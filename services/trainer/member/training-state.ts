/** The run state at one boundary, and the one way it moves on: all totals of a step, applied together (rule 13). */
import { initialHistoryDigest, type StateHead, type StepResult } from '@thaw/shared/protocol';
import { adamRange, adamUpdateOf, updateAverage, type AdamUpdate } from '../optimizer/index.js';
import { dequantiseBlock, laneLimit, lowestExponent, nextExponents } from '../reduce/index.js';
import type { LoadedState, TrainerOptions, TrainingArrays } from './events.js';
import { StepTotals, type ChunkTotal } from './step-totals.js';

/** Scalars of the state before step 0. */
export const initialHead = (run: string): StateHead => ({
  step: 0,
  historyDigest: initialHistoryDigest(run),
  beta1Product: 1,
  beta2Product: 1,
  skippedInARow: 0,
});

/** The state before step 0 from initial weights: the average is a copy, moments are zero, exponents the lowest. `weights` is used, not copied. */
export function initialState(run: string, weights: Float32Array, blockCount: number): LoadedState {
  const exponents = new Int8Array(blockCount).fill(lowestExponent);
  const arrays = {
    weights,
    ema: weights.slice(),
    firstMoment: new Float32Array(weights.length),
    secondMoment: new Float32Array(weights.length),
    exponents,
  };
  return { head: initialHead(run), arrays };
}

export class TrainingState {
  readonly arrays: TrainingArrays;
  private readonly options: TrainerOptions;
  private readonly scratch: Float32Array;
  private current: StateHead | undefined;
  private coming: StepTotals;
  private before: StepTotals;
  private keepsBefore = false;
  private historyBefore = '';

  constructor(options: TrainerOptions) {
    this.options = options;
    this.arrays = options.arrays;
    this.coming = new StepTotals(options.layout);
    this.before = new StepTotals(options.layout);
    const { blockStarts, blockCount } = options.layout;
    let widest = 0;
    for (let block = 0; block < blockCount; block++)
      widest = Math.max(widest, blockStarts[block + 1]! - blockStarts[block]!);
    this.scratch = new Float32Array(widest);
  }

  /** Undefined: no state yet. */
  get head(): StateHead | undefined {
    return this.current;
  }
  /** -1: no state yet. */
  get step(): number {
    return this.current?.step ?? -1;
  }
  /** Totals of the step that comes next. */
  get totals(): StepTotals {
    return this.coming;
  }
  /** Totals of the step applied last, kept until the next one is applied (rule 14); undefined after a jump. */
  get previousTotals(): StepTotals | undefined {
    return this.keepsBefore ? this.before : undefined;
  }

  /** History digest of the boundary before the step applied last. */
  get previousHistoryDigest(): string {
    return this.historyBefore;
  }

  /** Jumps to a boundary of somebody else's making. */
  install({ head, arrays }: LoadedState): void {
    this.arrays.weights.set(arrays.weights);
    this.arrays.ema.set(arrays.ema);
    this.arrays.firstMoment.set(arrays.firstMoment);
    this.arrays.secondMoment.set(arrays.secondMoment);
    this.arrays.exponents.set(arrays.exponents);
    this.current = head;
    this.coming.clear();
    this.keepsBefore = false;
  }

  /** Takes the total of one chunk of the coming step. */
  store(chunk: number, total: ChunkTotal, sums?: Int32Array): void {
    this.coming.store(chunk, total, sums);
  }

  /** Applies the coming step. All its totals are in. */
  apply(): StepResult {
    const head = this.current!;
    const { layout, laneCount, ema } = this.options;
    const totals = this.coming;
    const historyDigest = totals.chain(head.historyDigest);
    this.historyBefore = head.historyDigest;
    const result: StepResult = { step: head.step, laneLosses: [...totals.losses], skippedLanes: totals.skippedLanes };
    const step = head.step + 1;
    if (result.skippedLanes.length > 0) {
      this.current = { ...head, step, historyDigest, skippedInARow: head.skippedInARow + 1 };
    } else {
      const next = this.nextProducts(head);
      const update = this.updateOf();
      for (let chunk = 0; chunk < layout.chunkCount; chunk++) this.updateChunk(chunk, update);
      updateAverage(this.arrays.ema, this.arrays.weights, head.step, ema);
      nextExponents(layout, totals.sums, totals.exponents, laneLimit(laneCount), this.arrays.exponents);
      this.current = { ...next, step, historyDigest, skippedInARow: 0 };
    }
    [this.coming, this.before] = [this.before, totals];
    this.coming.clear();
    this.keepsBefore = true;
    return result;
  }

  private nextProducts(head: StateHead): StateHead {
    const { beta1, beta2 } = this.options.optimizer;
    return { ...head, beta1Product: head.beta1Product * beta1, beta2Product: head.beta2Product * beta2 };
  }
  /** Numbers of the coming step's update. */
  protected updateOf(): AdamUpdate {
    const head = this.current!;
    const { beta1Product, beta2Product } = this.nextProducts(head);
    return adamUpdateOf(this.options.optimizer, head.step, beta1Product, beta2Product);
  }

  /** Optimizer update of the weights of one chunk from its total. */
  protected updateChunk(chunk: number, update: AdamUpdate): void {
    const { layout, laneCount } = this.options;
    const { sums, exponents } = this.coming;
    for (let block = layout.chunkBlocks[chunk]!, endBlock = layout.chunkBlocks[chunk + 1]!; block < endBlock; block++) {
      const start = layout.blockStarts[block]!;
      const end = layout.blockStarts[block + 1]!;
      dequantiseBlock(sums, start, end, exponents[block]!, laneCount, this.scratch);
      adamRange(this.arrays, start, end, this.scratch, 0, update);
    }
  }
}
