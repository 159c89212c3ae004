/** The run state at one boundary, and the one way it moves on: all totals of a step, applied together (rule 13). */
import { initialHistoryDigest, type StateHead, type StepResult } from '@thaw/shared/protocol';
import { plainKernels, type ArrayKernels, type StepUpdate } from '../kernels/index.js';
import { adamUpdateOf, averageUpdateOf } from '../optimizer/index.js';
import { laneLimit, lowestExponent, nextExponent, type Layout } from '../reduce/index.js';
import type { LoadedState, TrainerOptions, TrainingArrays } from './events.js';
import { copyValues } from './state-copy.js';
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
  readonly kind: 'apply';
  readonly result: StepResult;
  /** Where it leads to. */
  readonly head: StateHead;
  /** Undefined: the step is skipped. */
  readonly update: StepUpdate | undefined;
  nextBlock: number;
}
/** A state of somebody else's making that is being copied in. */
interface Installation {
  readonly kind: 'install';
  readonly state: LoadedState;
  copied: number;
}

/** A boundary was reached. */
export type Reached = { readonly kind: 'applied'; readonly result: StepResult } | { readonly kind: 'installed' };

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
  private change: Application | Installation | undefined;

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

  /** The arrays are between two boundaries, and nobody may look at them. */
  get changing(): boolean {
    return this.change !== undefined;
  }

  /** Boundary that the change under way leads to; the one held when there is none. */
  get destination(): number {
    const { change } = this;
    if (change === undefined) return this.step;
    return change.kind === 'apply' ? change.head.step : change.state.head.step;
  }

  /** Begins the jump to a boundary of somebody else's making; a change under way is given up. `state` is read until it is done. */
  install(state: LoadedState): void {
    this.change = { kind: 'install', state, copied: 0 };
  }

  /** Begins to apply the coming step. All its totals are in. */
  apply(): void {
    this.change = this.application();
  }

  /**
   * Goes on with the change under way, by at most `maxValues` values. Until it returns something, {@link head} is the old boundary and
   * {@link changing} is true.
   */
  advance(maxValues: number): Reached | undefined {
    const { change } = this;
    return change?.kind === 'apply'
      ? this.advanceApplication(change, maxValues)
      : change && this.advanceInstallation(change, maxValues);
  }

  /** Takes the total of one chunk of the coming step. */
  store(chunk: number, total: ChunkTotal, sums?: Int32Array): void {
    this.coming.store(chunk, total, sums);
  }

  private advanceApplication(change: Application, maxValues: number): Reached | undefined {
    const { blockStarts, blockCount } = this.layout;
    if (change.update !== undefined) {
      const firstBlock = change.nextBlock;
      const most = blockStarts[firstBlock]! + maxValues;
      let endBlock = firstBlock + 1;
      while (endBlock < blockCount && blockStarts[endBlock + 1]! <= most) endBlock++;
      this.updateBlocks(firstBlock, endBlock, change.update);
      change.nextBlock = endBlock;
      if (endBlock < blockCount) return undefined;
    }
    this.historyBefore = this.current!.historyDigest;
    [this.coming, this.before] = [this.before, this.coming];
    this.keepsBefore = true;
    this.reach(change.head);
    return { kind: 'applied', result: change.result };
  }

  private advanceInstallation(change: Installation, maxValues: number): Reached | undefined {
    const { head, arrays } = change.state;
    change.copied = copyValues(arrays, this.arrays, change.copied, maxValues);
    if (change.copied < 4 * this.layout.valueCount) return undefined;
    this.arrays.exponents.set(arrays.exponents);
    this.keepsBefore = false;
    this.reach(head);
    return { kind: 'installed' };
  }

  private reach(head: StateHead): void {
    this.change = undefined;
    this.current = head;
    this.coming.clear();
  }

  private application(): Application {
    const head = this.current!;
    const totals = this.coming;
    const historyDigest = totals.chain(head.historyDigest);
    const result: StepResult = { step: head.step, laneLosses: [...totals.losses], skippedLanes: totals.skippedLanes };
    const step = head.step + 1;
    if (result.skippedLanes.length > 0) {
      const skipped = { ...head, step, historyDigest, skippedInARow: head.skippedInARow + 1 };
      return { kind: 'apply', result, head: skipped, update: undefined, nextBlock: 0 };
    }
    const next = { ...this.nextProducts(head), step, historyDigest, skippedInARow: 0 };
    return { kind: 'apply', result, head: next, update: this.updateOf(), nextBlock: 0 };
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
