/**
 * The lanes this trainer has computed for the coming step. Their gradients are kept apart until the step is over: a raise quantises them
 * anew, and a plan that takes some lanes away needs no recomputation of the others.
 */
import type { LaneLoss } from '@thaw/shared/protocol';
import type { ArrayKernels } from '../kernels/index.js';
import { chunkValues, fits, laneLimit, neededExponent, type Layout } from '../reduce/index.js';

interface LaneGradient {
  readonly gradient: Float32Array;
  /** [blockCount], of the chunks that were looked at. */
  readonly maxima: Float32Array;
  /** [chunkCount] 1: its maxima are there. */
  readonly measured: Uint8Array;
  readonly loss: number;
}

/** What the lanes of one member have to say about one chunk. */
export type Assessment =
  | { readonly kind: 'sum' }
  /** [blocks of the chunk] exponents at which all of these lanes fit. */
  | { readonly kind: 'needs'; readonly exponents: Int8Array }
  | { readonly kind: 'nonfinite'; readonly lanes: readonly number[] };

export class LaneGradients {
  private readonly layout: Layout;
  private readonly limit: number;
  private readonly kernels: ArrayKernels;
  private readonly lanes = new Map<number, LaneGradient>();

  constructor(layout: Layout, laneCount: number, kernels: ArrayKernels) {
    this.layout = layout;
    this.kernels = kernels;
    this.limit = laneLimit(laneCount);
  }

  has(lane: number): boolean {
    return this.lanes.has(lane);
  }
  covers(lanes: readonly number[]): boolean {
    return lanes.every((lane) => this.lanes.has(lane));
  }

  /** Keeps `gradient` (not copied) until {@link takeAll}. */
  add(lane: number, gradient: Float32Array, loss: number): void {
    const maxima = new Float32Array(this.layout.blockCount);
    const measured = new Uint8Array(this.layout.chunkCount);
    const finite = Number.isFinite(loss);
    // A loss that is not finite spoils the lane everywhere, whatever its gradient looks like.
    if (!finite) {
      maxima.fill(NaN);
      measured.fill(1);
    }
    this.lanes.set(lane, { gradient, maxima, measured, loss: finite ? Math.fround(loss) : NaN });
  }

  /** Forgets everything; the gradients go back to their maker. */
  takeAll(): Float32Array[] {
    const all = [...this.lanes.values()].map((lane) => lane.gradient);
    this.lanes.clear();
    return all;
  }

  losses(lanes: readonly number[]): LaneLoss[] {
    return lanes.map((lane) => ({ lane, loss: this.lanes.get(lane)!.loss }));
  }

  /** Whether the given lanes, each by itself (rule 11), fit at these exponents of the chunk. */
  assess(chunk: number, lanes: readonly number[], exponents: Int8Array): Assessment {
    const firstBlock = this.layout.chunkBlocks[chunk]!;
    const endBlock = this.layout.chunkBlocks[chunk + 1]!;
    const bad: number[] = [];
    let needs: Int8Array | undefined;
    for (const lane of lanes) {
      const { gradient, maxima, measured } = this.lanes.get(lane)!;
      if (measured[chunk] === 0) this.kernels.blockMaxima(this.layout, firstBlock, endBlock, gradient, maxima);
      measured[chunk] = 1;
      for (let block = firstBlock; block < endBlock; block++) {
        const largest = maxima[block]!;
        if (Number.isNaN(largest)) {
          bad.push(lane);
          break;
        }
        const exponent = (needs ?? exponents)[block - firstBlock]!;
        if (fits(largest, exponent, this.limit)) continue;
        needs ??= exponents.slice();
        needs[block - firstBlock] = neededExponent(largest, exponent, this.limit);
      }
    }
    if (bad.length > 0) return { kind: 'nonfinite', lanes: bad };
    return needs === undefined ? { kind: 'sum' } : { kind: 'needs', exponents: needs };
  }

  /** Adds the integers of the given lanes to `sums` [values of the chunk]. They fit. */
  addTo(sums: Int32Array, chunk: number, lanes: readonly number[], exponents: Int8Array): void {
    const firstBlock = this.layout.chunkBlocks[chunk]!;
    const endBlock = this.layout.chunkBlocks[chunk + 1]!;
    for (const lane of lanes) {
      const { gradient } = this.lanes.get(lane)!;
      this.kernels.addQuantised(this.layout, firstBlock, endBlock, gradient, exponents, sums, 0);
    }
  }

  /** Integer sum of the given lanes over one chunk, a new array. */
  sum(chunk: number, lanes: readonly number[], exponents: Int8Array): Int32Array {
    const { start, end } = chunkValues(this.layout, chunk);
    const sums = new Int32Array(end - start);
    this.addTo(sums, chunk, lanes, exponents);
    return sums;
  }
}
