/**
 * Sums of contributions: `into[i] += from[i]` modulo 2^32. Sums live in one shared WebAssembly memory and are added by
 * SIMD; a bulk link sends them from there without a copy.
 *
 * Measured choice, 1 MiB of int32, Node 20, 2 cores under load: plain loop 0.86 ms, unrolled by 4 0.49 ms, SIMD with
 * the sum in wasm memory and the contribution copied in 0.07 ms, both copied in and the sum out again 0.35 ms.
 */
import { maxWasmPages, sharedMemory, WasmModule } from '@thaw/shared/wasm';
import { addInt32Module, type AddInt32 } from './add-int32-module.js';

const scratchBytes = 1 << 20;
const alignBytes = 64;

let compiled: WasmModule<AddInt32> | undefined;

/** Adds anywhere, without SIMD. @throws RangeError if the lengths differ */
export function addInt32(into: Int32Array, from: Int32Array): void {
  assertSameLength(into, from);
  addPlain(into, from, 0);
}

/** An arena of sums. Its memory is reserved at once but takes space only where it is used. */
export class Int32Sums {
  readonly capacityBytes: number;
  readonly #buffer: SharedArrayBuffer;
  readonly #scratch: Int32Array;
  readonly #add: (into: number, from: number, bytes: number) => void;
  readonly #free = new Map<number, number[]>();
  #next = scratchBytes;

  /** @throws RangeError for a capacity that a 32-bit memory cannot have */
  constructor(capacityBytes: number) {
    const memory = sharedMemory(capacityBytes + scratchBytes);
    this.capacityBytes = capacityBytes;
    compiled ??= new WasmModule(addInt32Module(maxWasmPages));
    this.#add = compiled.bind(memory).add;
    this.#buffer = memory.buffer;
    this.#scratch = new Int32Array(this.#buffer, 0, scratchBytes / 4);
  }

  /** A sum of `length` values, all zero, on shared memory. @throws RangeError when the capacity is used up */
  allocate(length: number): Int32Array {
    const bytes = Math.max(alignBytes, Math.ceil((length * 4) / alignBytes) * alignBytes);
    const reused = this.#free.get(bytes)?.pop();
    const offset = reused ?? this.#next;
    if (offset + bytes > scratchBytes + this.capacityBytes)
      throw new RangeError(`The ${this.capacityBytes} bytes for sums are used up.`);
    if (reused === undefined) this.#next += bytes;
    const sum = new Int32Array(this.#buffer, offset, length);
    sum.fill(0);
    return sum;
  }

  /** Gives a sum back; its view must not be used afterwards. */
  release(sum: Int32Array): void {
    this.#assertOwn(sum);
    const bytes = Math.max(alignBytes, Math.ceil(sum.byteLength / alignBytes) * alignBytes);
    const same = this.#free.get(bytes);
    if (same) same.push(sum.byteOffset);
    else this.#free.set(bytes, [sum.byteOffset]);
  }

  /** Adds to a sum of this arena. `from` may lie anywhere. @throws RangeError for another arena's sum or other lengths */
  add(sum: Int32Array, from: Int32Array): void {
    this.#assertOwn(sum);
    assertSameLength(sum, from);
    const whole = sum.length - (sum.length % 16);
    const step = this.#scratch.length;
    for (let at = 0; at < whole; at += step) {
      const count = Math.min(step, whole - at);
      this.#scratch.set(from.subarray(at, at + count));
      this.#add(sum.byteOffset + at * 4, 0, count * 4);
    }
    addPlain(sum, from, whole);
  }

  #assertOwn(sum: Int32Array): void {
    if (sum.buffer !== this.#buffer || sum.byteOffset < scratchBytes || sum.byteOffset % alignBytes !== 0)
      throw new RangeError('This sum was not allocated here.');
  }
}

function assertSameLength(into: Int32Array, from: Int32Array): void {
  if (into.length !== from.length) throw new RangeError(`A sum of ${into.length} values cannot take ${from.length}.`);
}

function addPlain(into: Int32Array, from: Int32Array, start: number): void {
  const length = into.length;
  let i = start;
  for (; i + 4 <= length; i += 4) {
    into[i] = (into[i]! + from[i]!) | 0;
    into[i + 1] = (into[i + 1]! + from[i + 1]!) | 0;
    into[i + 2] = (into[i + 2]! + from[i + 2]!) | 0;
    into[i + 3] = (into[i + 3]! + from[i + 3]!) | 0;
  }
  for (; i < length; i++) into[i] = (into[i]! + from[i]!) | 0;
}
