/** The run state at one boundary, and the one way it moves on: all totals of a step, applied together (rule 13). */
import { initialHistoryDigest, type StateHead, type StepResult } from '@thaw/shared/protocol';
import { plainKernels, type ArrayKernels, type StepUpdate } from '../kernels/index.js';
import { adamUpdateOf, averageUpdateOf } from '../optimizer/index.js';
import { laneLimit, lowestExponent, nextExponent, type Layout } from '../reduce/index.js';
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

/** A step that is being applied, block by block. */
interface Application {
  readonly result: StepResult;
  /** Where it leads to. */
  readonly head: StateHead;
  /** Undefined: the step is skipped. */
  readonly update: StepUpdate | undefined;
  nextBlock: number;
}

export class TrainingState {
  readonly arrays: TrainingArrays;
  protected readonly layout: Layout;
  private readonly options: TrainerOptions;
  private readonly kernels: ArrayKernels;
  private readonly largest: Uint32Array;
  private current: StateHead | undefined;
  private coming: StepTotals;
  private before: StepTotals;
  private keepsBefore = false;
  private historyBefore = '';
  private application: Application | undefined;

  constructor(options: TrainerOptions) {
    this.options = options;
    this.layout = options.layout;
    this.arrays = options.arrays;
    this.kernels = options.kernels ?? plainKernels;
    this.coming = new StepTotals(options.layout, this.kernels);
    this.before = new StepTotals(options.layout, this.kernels);
    this.largest = new Uint32Array(options.layout.blockCount);
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

  /** A step is being applied: the arrays are between two boundaries, and nobody may look at them. */
  get applying(): boolean {
    return this.application !== undefined;
  }

  /** Jumps to a boundary of somebody else's making. */
  install({ head, arrays }: LoadedState): void {
    this.application = undefined;
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

  /**
   * Applies the coming step, at most `maxValues` values of it; all its totals are in. Returns its result with the last ones: the state is
   * at the next boundary then. Until then {@link head} is the old boundary and {@link applying} is true.
   */
  apply(maxValues: number): StepResult | undefined {
    const application = (this.application ??= this.begin());
    const { blockStarts, blockCount } = this.layout;
    if (application.update !== undefined) {
      const firstBlock = application.nextBlock;
      let endBlock = firstBlock;
      while (
        endBlock < blockCount &&
        (endBlock === firstBlock || blockStarts[endBlock + 1]! - blockStarts[firstBlock]! <= maxValues)
      )
        endBlock++;
      this.updateBlocks(firstBlock, endBlock, application.update);
      application.nextBlock = endBlock;
      if (endBlock < blockCount) return undefined;
    }
    this.application = undefined;
    this.historyBefore = this.current!.historyDigest;
    this.current = application.head;
    [this.coming, this.before] = [this.before, this.coming];
    this.coming.clear();
    this.keepsBefore = true;
    return application.result;
  }

  private begin(): Application {
    const head = this.current!;
    const totals = this.coming;
    const historyDigest = totals.chain(head.historyDigest);
    const result: StepResult = { step: head.step, laneLosses: [...totals.losses], skippedLanes: totals.skippedLanes };
    const step = head.step + 1;
    if (result.skippedLanes.length > 0) {
      const skipped = { ...head, step, historyDigest, skippedInARow: head.skippedInARow + 1 };
      return { result, head: skipped, update: undefined, nextBlock: 0 };
    }
    const next = { ...this.nextProducts(head), step, historyDigest, skippedInARow: 0 };
    return { result, head: next, update: this.updateOf(), nextBlock: 0 };
  }

  private nextProducts(head: StateHead): StateHead {
    const { beta1, beta2 } = this.options.optimizer;
    return { ...head, beta1Product: head.beta1Product * beta1, beta2Product: head.beta2Product * beta2 };
  }
  /** What the coming step's totals do. */
  protected updateOf(): StepUpdate {
    const head = this.current!;
    const { laneCount, optimizer, ema } = this.options;
    const { beta1Product, beta2Product } = this.nextProducts(head);
    return {
      sums: this.coming.sums,
      exponents: this.coming.exponents,
      laneCount,
      adam: adamUpdateOf(optimizer, head.step, beta1Product, beta2Product),
      average: averageUpdateOf(ema, head.step),
    };
  }

  /** Weights, moments, average and base exponents of the blocks [firstBlock, endBlock), from their totals. */
  protected updateBlocks(firstBlock: number, endBlock: number, update: StepUpdate): void {
    const { layout } = this;
    const { laneCount } = this.options;
    const largest = this.largest.subarray(0, endBlock - firstBlock);
    this.kernels.update(layout, firstBlock, endBlock, this.arrays, update, largest);
    const limit = laneLimit(laneCount);
    for (let block = firstBlock; block < endBlock; block++)
      this.arrays.exponents[block] = nextExponent(largest[block - firstBlock]!, update.exponents[block]!, limit);
  }
}
