/** How the flat parameter vector is cut into tensors, blocks and chunks: a fixed function of the run, never of the membership. */
import { ThawError } from '@thaw/shared/protocol';

export interface TensorPlace {
  readonly name: string;
  /** First value in the flat vector. */
  readonly offset: number;
  /** Number of values. */
  readonly size: number;
  readonly firstBlock: number;
  readonly blockCount: number;
}

/** Flat vector of `valueCount` values = tensors one after the other, in the engine's stored order. */
export interface Layout {
  readonly valueCount: number;
  readonly tensors: readonly TensorPlace[];
  readonly blockCount: number;
  /** [blockCount + 1] first value of each block; blocks never cross a tensor. */
  readonly blockStarts: Int32Array;
  readonly chunkCount: number;
  /** [chunkCount + 1] first block of each chunk; a chunk is whole blocks and may cross tensors. */
  readonly chunkBlocks: Int32Array;
}

export interface LayoutOptions {
  /** Values sharing one exponent. */
  readonly blockValues?: number;
  readonly minChunkBytes?: number;
  readonly maxChunkBytes?: number;
}

/**
 * Cuts tensors (in the given order) into blocks of 256 values and chunks of clamp(G / M, 256 KiB, 1 MiB) bytes.
 * @param laneCount M of the run.
 */
export function createLayout(
  tensors: readonly { readonly name: string; readonly size: number }[],
  laneCount: number,
  { blockValues = 256, minChunkBytes = 256 << 10, maxChunkBytes = 1 << 20 }: LayoutOptions = {},
): Layout {
  const places: TensorPlace[] = [];
  const starts: number[] = [];
  let offset = 0;
  for (const { name, size } of tensors) {
    if (!Number.isSafeInteger(size) || size < 1)
      throw new ThawError('THAW_INTERNAL', `Tensor ${name} has ${size} values.`);
    const firstBlock = starts.length;
    for (let at = 0; at < size; at += blockValues) starts.push(offset + at);
    places.push({ name, offset, size, firstBlock, blockCount: starts.length - firstBlock });
    offset += size;
  }
  starts.push(offset);
  if (offset >= 2 ** 31) throw new ThawError('THAW_INTERNAL', `${offset} parameters; at most 2^31 - 1 are supported.`);
  const blockCount = starts.length - 1;
  const chunkBytes = Math.min(Math.max((4 * offset) / laneCount, minChunkBytes), maxChunkBytes);
  const blocksPerChunk = Math.max(1, Math.floor(chunkBytes / 4 / blockValues));
  const chunks: number[] = [];
  for (let block = 0; block < blockCount; block += blocksPerChunk) chunks.push(block);
  chunks.push(blockCount);
  return {
    valueCount: offset,
    tensors: places,
    blockCount,
    blockStarts: Int32Array.from(starts),
    chunkCount: chunks.length - 1,
    chunkBlocks: Int32Array.from(chunks),
  };
}

/** First value and number of values of a chunk. */
export function chunkValues(layout: Layout, chunk: number): { readonly start: number; readonly end: number } {
  return {
    start: layout.blockStarts[layout.chunkBlocks[chunk]!]!,
    end: layout.blockStarts[layout.chunkBlocks[chunk + 1]!]!,
  };
}
