/** Totals of one step: the sum over all lanes of every chunk, as far as they are in. */
import { sha256Hex, ThawError } from '@thaw/shared/protocol';
import type { ArrayKernels } from '../kernels/index.js';
import { chunkValues, type Layout } from '../reduce/index.js';

export type ChunkTotalKind = 'sum' | 'skip';

/** What a total says besides its sums. */
export interface ChunkTotal {
  readonly kind: ChunkTotalKind;
  /** [blocks of the chunk]; empty for `skip`. */
  readonly exponents: Int8Array;
  /** Chunk 0 only: [M] in lane order; empty elsewhere. */
  readonly losses: readonly number[];
  /** Non-finite lanes of a `skip`, ascending. */
  readonly skippedLanes: readonly number[];
}

export class StepTotals {
  /** [valueCount]; only chunks that are in (or being added up by their owner) mean anything. */
  readonly sums: Int32Array;
  /** [blockCount] */
  readonly exponents: Int8Array;
  private readonly layout: Layout;
  private readonly chunks: (ChunkTotal | undefined)[];
  private readonly digests: string[];
  private missingCount = 0;

  constructor(layout: Layout, kernels: ArrayKernels) {
    this.layout = layout;
    this.sums = kernels.int32(layout.valueCount);
    this.exponents = new Int8Array(layout.blockCount);
    this.chunks = new Array<ChunkTotal | undefined>(layout.chunkCount);
    this.digests = new Array<string>(layout.chunkCount);
    this.clear();
  }

  /** Ready for another step. */
  clear(): void {
    this.chunks.fill(undefined);
    this.missingCount = this.layout.chunkCount;
  }

  get complete(): boolean {
    return this.missingCount === 0;
  }
  has(chunk: number): boolean {
    return this.chunks[chunk] !== undefined;
  }
  get(chunk: number): ChunkTotal | undefined {
    return this.chunks[chunk];
  }
  missing(): number[] {
    const list: number[] = [];
    for (let chunk = 0; chunk < this.layout.chunkCount; chunk++) if (!this.has(chunk)) list.push(chunk);
    return list;
  }
  /** The sums of a chunk: a view. */
  sumsOf(chunk: number): Int32Array {
    const { start, end } = chunkValues(this.layout, chunk);
    return this.sums.subarray(start, end);
  }

  /** Takes a total; `sums` undefined: they are already in place (added up by the owner). A chunk that is in already stays as it is. */
  store(chunk: number, total: ChunkTotal, sums?: Int32Array): void {
    if (this.has(chunk)) return;
    const place = this.sumsOf(chunk);
    const digestParts: (Uint8Array | string)[] = [
      total.kind,
      Float32Array.from(total.losses),
      Int32Array.from(total.skippedLanes),
    ].map(bytesOf);
    if (total.kind === 'sum') {
      if (sums !== undefined) place.set(sums);
      this.exponents.set(total.exponents, this.layout.chunkBlocks[chunk]!);
      digestParts.push(bytesOf(total.exponents), bytesOf(place));
    }
    this.chunks[chunk] = total;
    this.digests[chunk] = sha256Hex(...digestParts);
    this.missingCount--;
  }

  /** Next link of the history digest. */
  chain(historyDigest: string): string {
    if (!this.complete) throw new ThawError('THAW_INTERNAL', 'The history of an incomplete step was asked for.');
    return sha256Hex(historyDigest, ...this.digests);
  }

  /** [M] */
  get losses(): readonly number[] {
    return this.chunks[0]?.losses ?? [];
  }
  /** Lanes that were not finite in any chunk, ascending; not empty = the step has no update. */
  get skippedLanes(): number[] {
    const lanes = new Set<number>();
    for (const chunk of this.chunks) for (const lane of chunk?.skippedLanes ?? []) lanes.add(lane);
    return [...lanes].sort((a, b) => a - b);
  }
}

const bytesOf = (part: string | ArrayBufferView): Uint8Array | string =>
  typeof part === 'string' ? part : new Uint8Array(part.buffer, part.byteOffset, part.byteLength);
