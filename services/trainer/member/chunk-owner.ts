/**
 * The owner's side of the sum: adds the contributions of its own generation, each source once, from zero at every new generation
 * (rule 10), and settles exponents when all members are in (rule 11).
 */
import type { LaneLoss } from '@thaw/shared/protocol';
import { sha256Hex } from '@thaw/shared/protocol';
import type { Layout } from '../reduce/index.js';
import type { ChunkTotal, StepTotals } from './step-totals.js';

/** What one member says about one chunk. `sums`: added by {@link ChunkOwner.add}; a function adds them in place. */
export type Contribution =
  | { readonly kind: 'sum'; readonly sums: Int32Array | ((into: Int32Array) => void) }
  | { readonly kind: 'needs'; readonly exponents: Int8Array }
  | { readonly kind: 'nonfinite'; readonly lanes: readonly number[] };

/** What happens once everybody is in. */
export type Settlement =
  | { readonly kind: 'waiting' }
  /** Ask everybody once more, at these exponents. */
  | { readonly kind: 'raise'; readonly exponents: Int8Array }
  /** The total, its sums already in place in the {@link StepTotals}. */
  | { readonly kind: 'total'; readonly total: ChunkTotal };

interface OwnedChunk {
  /** In use now: base, or raised. */
  exponents: Int8Array;
  digest: string;
  raised: boolean;
  readonly sources: Set<string>;
  needs: Int8Array | undefined;
  readonly nonFinite: Set<number>;
  readonly losses: Map<number, number>;
}

/** Tells sums apart that were quantised with different exponents. */
export const exponentsDigest = (exponents: Int8Array): string =>
  sha256Hex(new Uint8Array(exponents.buffer, exponents.byteOffset, exponents.length)).slice(0, 16);

export class ChunkOwner {
  private readonly layout: Layout;
  private readonly laneCount: number;
  protected members: readonly string[] = [];
  protected readonly chunks = new Map<number, OwnedChunk>();

  constructor(layout: Layout, laneCount: number) {
    this.layout = layout;
    this.laneCount = laneCount;
  }

  /** A new step: everything of the old one is forgotten. */
  beginStep(): void {
    this.chunks.clear();
  }
  /** A new generation starts from zero: sums of the old one may count lanes that have moved. */
  beginGeneration(members: readonly string[]): void {
    this.members = members;
    this.chunks.clear();
  }

  /** Members whose contribution to the chunk is still missing. */
  missing(chunk: number): string[] {
    const sources = this.chunks.get(chunk)?.sources;
    return this.members.filter((id) => !sources?.has(id));
  }
  /** Exponents asked for by a raise, if there was one. */
  raisedExponents(chunk: number): Int8Array | undefined {
    const owned = this.chunks.get(chunk);
    return owned?.raised ? owned.exponents : undefined;
  }

  /**
   * Adds one contribution of the present generation and step.
   * @param digest of the exponents it was quantised with; another one than in use now is dropped
   * @param base [blockCount] base exponents of the step
   */
  add(
    chunk: number,
    source: string,
    digest: string,
    contribution: Contribution,
    losses: readonly LaneLoss[],
    base: Int8Array,
    totals: StepTotals,
  ): Settlement {
    const owned = this.chunks.get(chunk) ?? this.open(chunk, base, totals);
    if (digest !== owned.digest || owned.sources.has(source) || !this.members.includes(source))
      return { kind: 'waiting' };
    owned.sources.add(source);
    for (const { lane, loss } of losses) owned.losses.set(lane, loss);
    if (contribution.kind === 'sum') addInto(totals.sumsOf(chunk), contribution.sums);
    else if (contribution.kind === 'nonfinite') for (const lane of contribution.lanes) owned.nonFinite.add(lane);
    else owned.needs = maximum(owned.needs ?? owned.exponents, contribution.exponents);
    if (owned.sources.size < this.members.length) return { kind: 'waiting' };
    return this.settle(chunk, owned, totals);
  }

  private open(chunk: number, base: Int8Array, totals: StepTotals): OwnedChunk {
    const exponents = base.slice(this.layout.chunkBlocks[chunk]!, this.layout.chunkBlocks[chunk + 1]!);
    const owned: OwnedChunk = {
      exponents,
      digest: exponentsDigest(exponents),
      raised: false,
      sources: new Set(),
      needs: undefined,
      nonFinite: new Set(),
      losses: new Map(),
    };
    totals.sumsOf(chunk).fill(0);
    this.chunks.set(chunk, owned);
    return owned;
  }

  private settle(chunk: number, owned: OwnedChunk, totals: StepTotals): Settlement {
    const losses =
      chunk === 0 ? Array.from({ length: this.laneCount }, (_, lane) => owned.losses.get(lane) ?? NaN) : [];
    if (owned.nonFinite.size > 0) {
      const skippedLanes = [...owned.nonFinite].sort((a, b) => a - b);
      return { kind: 'total', total: { kind: 'skip', exponents: new Int8Array(0), losses, skippedLanes } };
    }
    if (owned.needs !== undefined) {
      owned.exponents = owned.needs;
      owned.digest = exponentsDigest(owned.exponents);
      owned.raised = true;
      owned.needs = undefined;
      owned.sources.clear();
      totals.sumsOf(chunk).fill(0);
      return { kind: 'raise', exponents: owned.exponents };
    }
    return { kind: 'total', total: { kind: 'sum', exponents: owned.exponents, losses, skippedLanes: [] } };
  }
}

function maximum(a: Int8Array, b: Int8Array): Int8Array {
  const result = a.slice();
  for (let i = 0; i < result.length; i++) if (b[i]! > result[i]!) result[i] = b[i]!;
  return result;
}

function addInto(into: Int32Array, sums: Int32Array | ((into: Int32Array) => void)): void {
  if (typeof sums === 'function') sums(into);
  else for (let i = 0; i < into.length; i++) into[i] = (into[i]! + sums[i]!) | 0;
}
