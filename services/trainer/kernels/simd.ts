/**
 * Kernels on WebAssembly SIMD. Arrays from {@link ArrayKernels.float32} and `int32` lie in the kernels' own memory and are worked on in
 * place; any other array is copied through it in tiles. The last one to three values of a block that has them are left to the plain loops.
 */
import { maxWasmPages, sharedMemory, WasmModule, wasmPageBytes, type SharedMemory } from '@thaw/shared/wasm';
import { adamFactorsOf, adamRange, averageRange } from '../optimizer/index.js';
import {
  addQuantised,
  blockMaxima,
  dequantiseBlock,
  largestTotal,
  meanScale,
  powerOfTwo,
  type Layout,
} from '../reduce/index.js';
import type { ArrayKernels, StepUpdate, UpdatedArrays } from './kernels.js';
import { simdModule, type SimdFunctions } from './simd-module.js';

export interface SimdOptions {
  /** Space for arrays; what does not fit lies elsewhere and costs copies. */
  readonly capacityBytes: number;
}

/** Values that one call of a loop handles at most when arrays are copied: their tiles fit the second-level cache. */
const tileValues = 16_384;
/** As many arrays as one loop has. */
const tiles = 5;
/** Blocks that one call of a loop handles at most. A call costs two microseconds, so that few blocks a call would be felt. */
const listBlocks = 4096;
/** Two factors per block, and its largest value. */
const scaleBytes = 8 * listBlocks;
const scratchBytes = tiles * 4 * tileValues + scaleBytes + 4 * listBlocks;
const alignBytes = 64;
const maxBytes = maxWasmPages * wasmPageBytes;

let module: WasmModule<SimdFunctions> | undefined;

/** @param capacityBytes is cut to what a memory can have */
export function simdKernels({ capacityBytes }: SimdOptions): ArrayKernels {
  module ??= new WasmModule(simdModule(maxWasmPages));
  const memory = sharedMemory(Math.min(scratchBytes + capacityBytes, maxBytes));
  return new SimdKernels(memory, module.bind(memory));
}

/** A run of blocks of equal length for one call of a loop. */
interface BlockRun {
  readonly firstBlock: number;
  readonly blocks: number;
  readonly start: number;
  /** Of each block. */
  readonly values: number;
}

/** Where a loop finds an array, and how results get back. */
interface Place {
  readonly address: number;
  readonly writeBack: () => void;
}
const inPlace = (): void => {};

class SimdKernels implements ArrayKernels {
  readonly name = 'simd';
  readonly #buffer: SharedArrayBuffer;
  readonly #loops: SimdFunctions;
  readonly #scales: Float32Array;
  /** The same words as numbers and as their bits. */
  readonly #largest: { readonly floats: Float32Array; readonly bits: Uint32Array };
  readonly #scalesAddress = tiles * 4 * tileValues;
  readonly #largestAddress = tiles * 4 * tileValues + scaleBytes;
  #next = scratchBytes;

  constructor(memory: SharedMemory, loops: SimdFunctions) {
    this.#buffer = memory.buffer;
    this.#loops = loops;
    this.#scales = new Float32Array(this.#buffer, this.#scalesAddress, 2 * listBlocks);
    this.#largest = {
      floats: new Float32Array(this.#buffer, this.#largestAddress, listBlocks),
      bits: new Uint32Array(this.#buffer, this.#largestAddress, listBlocks),
    };
  }

  float32(length: number): Float32Array {
    const [buffer, offset] = this.#allocate(4 * length);
    return new Float32Array(buffer, offset, length);
  }
  int32(length: number): Int32Array {
    const [buffer, offset] = this.#allocate(4 * length);
    return new Int32Array(buffer, offset, length);
  }

  blockMaxima(layout: Layout, firstBlock: number, endBlock: number, gradient: Float32Array, into: Float32Array): void {
    for (const run of runsOf(layout, firstBlock, endBlock, this.#valuesPerCall([gradient]))) {
      const { blocks, values } = run;
      if (values % 4 !== 0) {
        blockMaxima(layout, run.firstBlock, run.firstBlock + blocks, gradient, into);
        continue;
      }
      const place = this.#read(0, gradient, run.start, blocks * values);
      this.#loops.blockMaxima(blocks, 4 * values, place.address, this.#largestAddress);
      for (let i = 0; i < blocks; i++) {
        const largest = this.#largest.floats[i]!;
        into[run.firstBlock + i] = largest < Infinity ? largest : NaN;
      }
    }
  }

  addQuantised(
    layout: Layout,
    firstBlock: number,
    endBlock: number,
    gradient: Float32Array,
    exponents: Int8Array,
    sums: Int32Array,
    sumsOffset: number,
  ): void {
    const shift = sumsOffset - layout.blockStarts[firstBlock]!;
    const scales = this.#scales;
    const valuesPerCall = this.#valuesPerCall([gradient, sums]);
    for (const { firstBlock: first, blocks, start, values } of runsOf(layout, firstBlock, endBlock, valuesPerCall)) {
      const own = exponents.subarray(first - firstBlock, first - firstBlock + blocks);
      if (values % 4 !== 0) {
        addQuantised(layout, first, first + blocks, gradient, own, sums, start + shift);
        continue;
      }
      for (let i = 0; i < blocks; i++) {
        const half = Math.trunc(-own[i]! / 2);
        scales[2 * i] = powerOfTwo(half);
        scales[2 * i + 1] = powerOfTwo(-own[i]! - half);
      }
      const from = this.#read(0, gradient, start, blocks * values);
      const to = this.#change(1, sums, start + shift, blocks * values);
      this.#loops.addQuantised(blocks, 4 * values, from.address, to.address, this.#scalesAddress);
      to.writeBack();
    }
  }

  update(
    layout: Layout,
    firstBlock: number,
    endBlock: number,
    arrays: UpdatedArrays,
    update: StepUpdate,
    largest: Uint32Array,
  ): void {
    const { sums, exponents, laneCount, adam, average } = update;
    const { beta1, rest1, beta2, rest2, stepSize, rootScale, epsilon } = adamFactorsOf(adam);
    const scales = this.#scales;
    const { weights, ema, firstMoment, secondMoment } = arrays;
    const valuesPerCall = this.#valuesPerCall([weights, ema, firstMoment, secondMoment, sums]);
    for (const { firstBlock: first, blocks, start, values } of runsOf(layout, firstBlock, endBlock, valuesPerCall)) {
      const vectors = values - (values % 4);
      const count = blocks * values;
      for (let i = 0; i < blocks; i++) scales[i] = meanScale(exponents[first + i]!, laneCount);
      // Runs of blocks with a rest have one block (see runsOf).
      const rest = { start: start + vectors, end: start + values };
      if (vectors > 0) {
        const w = this.#change(0, weights, start, count);
        const m = this.#change(1, firstMoment, start, count);
        const v = this.#change(2, secondMoment, start, count);
        const s = this.#read(3, sums, start, count);
        const common = [
          ...[
            blocks,
            4 * vectors,
            w.address,
            m.address,
            v.address,
            s.address,
            this.#scalesAddress,
            this.#largestAddress,
          ],
          ...[beta1, rest1, beta2, rest2, stepSize, rootScale, epsilon],
        ] as Parameters<SimdFunctions['update']>;
        if (average.kind === 'blend') {
          const a = this.#change(4, ema, start, count);
          this.#loops.updateAndBlend(...common, a.address, average.decay, average.rest);
          a.writeBack();
        } else this.#loops.update(...common);
        for (const place of [w, m, v]) place.writeBack();
        largest.set(this.#largest.bits.subarray(0, blocks), first - firstBlock);
      } else largest[first - firstBlock] = 0;
      if (rest.end > rest.start) {
        const gradient = new Float32Array(rest.end - rest.start);
        dequantiseBlock(sums, rest.start, rest.end, exponents[first]!, laneCount, gradient);
        adamRange(arrays, rest.start, rest.end, gradient, 0, adam);
        if (average.kind === 'blend') averageRange(ema, weights, rest.start, rest.end, average);
        const index = first - firstBlock;
        largest[index] = Math.max(largest[index]!, largestTotal(sums, rest.start, rest.end));
      }
    }
    const { blockStarts } = layout;
    if (average.kind === 'copy') averageRange(ema, weights, blockStarts[firstBlock]!, blockStarts[endBlock]!, average);
  }

  #valuesPerCall(arrays: readonly (Float32Array | Int32Array)[]): number {
    return arrays.every(({ buffer }) => buffer === this.#buffer) ? Infinity : tileValues;
  }

  #allocate(bytes: number): [SharedArrayBuffer, number] {
    const size = Math.ceil(bytes / alignBytes) * alignBytes;
    if (this.#next + size > this.#buffer.byteLength) return [new SharedArrayBuffer(bytes), 0];
    const offset = this.#next;
    this.#next += size;
    return [this.#buffer, offset];
  }

  #read(tile: number, array: Float32Array | Int32Array, start: number, count: number): Place {
    if (array.buffer === this.#buffer) return { address: array.byteOffset + 4 * start, writeBack: inPlace };
    const address = tile * 4 * tileValues;
    const copy =
      array instanceof Float32Array
        ? new Float32Array(this.#buffer, address, count)
        : new Int32Array(this.#buffer, address, count);
    copy.set(array.subarray(start, start + count));
    return { address, writeBack: () => array.set(copy, start) };
  }
  /** As {@link #read}; `writeBack` brings the results home. */
  #change(tile: number, array: Float32Array | Int32Array, start: number, count: number): Place {
    return this.#read(tile, array, start, count);
  }
}

/** Cuts blocks into runs of equal length, each for one call; a block whose length is no multiple of 4 is a run of its own. */
function* runsOf(
  { blockStarts }: Layout,
  firstBlock: number,
  endBlock: number,
  valuesPerCall: number,
): Generator<BlockRun> {
  let block = firstBlock;
  while (block < endBlock) {
    const start = blockStarts[block]!;
    const values = blockStarts[block + 1]! - start;
    let blocks = 1;
    if (values % 4 === 0)
      while (
        block + blocks < endBlock &&
        blockStarts[block + blocks + 1]! - blockStarts[block + blocks]! === values &&
        blocks < listBlocks &&
        (blocks + 1) * values <= valuesPerCall
      )
        blocks++;
    yield { firstBlock: block, blocks, start, values };
    block += blocks;
  }
}
