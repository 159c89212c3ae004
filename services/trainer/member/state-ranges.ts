/** The run state as numbered byte ranges, for snapshots. Range 0 holds the scalars; ranges never cross two arrays. */
import type { StateHead } from '@thaw/shared/protocol';
import { ThawError } from '@thaw/shared/protocol';
import type { Layout } from '../reduce/index.js';
import type { TrainingArrays } from './events.js';

const headBytes = 24;
const arrayNames = ['exponents', 'weights', 'ema', 'firstMoment', 'secondMoment'] as const;

interface Range {
  readonly array: (typeof arrayNames)[number];
  readonly offset: number;
  readonly length: number;
}

/** New arrays of the right sizes. */
export const emptyArrays = (layout: Layout): TrainingArrays => ({
  weights: new Float32Array(layout.valueCount),
  ema: new Float32Array(layout.valueCount),
  firstMoment: new Float32Array(layout.valueCount),
  secondMoment: new Float32Array(layout.valueCount),
  exponents: new Int8Array(layout.blockCount),
});

/** Table of the ranges of a run's state; the same on every trainer. */
export class StateRanges {
  private readonly ranges: readonly (Range | undefined)[];

  constructor(layout: Layout, rangeBytes = 1 << 20) {
    const ranges: (Range | undefined)[] = [undefined];
    for (const array of arrayNames) {
      const bytes = array === 'exponents' ? layout.blockCount : 4 * layout.valueCount;
      for (let offset = 0; offset < bytes; offset += rangeBytes)
        ranges.push({ array, offset, length: Math.min(rangeBytes, bytes - offset) });
    }
    this.ranges = ranges;
  }

  get count(): number {
    return this.ranges.length;
  }

  /** Bytes of one range, a new array. */
  read(index: number, head: StateHead, arrays: TrainingArrays): Uint8Array {
    const range = this.ranges[index];
    if (range === undefined) return encodeHead(head);
    const from = arrays[range.array];
    return new Uint8Array(from.buffer, from.byteOffset + range.offset, range.length).slice();
  }

  /**
   * Puts a received range into staged arrays; returns the scalars for range 0.
   * @throws ThawError THAW_PROTOCOL_INVALID when the range does not exist or has another length
   */
  place(
    index: number,
    data: Uint8Array,
    into: TrainingArrays,
    step: number,
    historyDigest: string,
  ): StateHead | undefined {
    const range = this.ranges[index];
    const expected = index === 0 ? headBytes : range?.length;
    if (data.byteLength !== expected)
      throw new ThawError(
        'THAW_PROTOCOL_INVALID',
        `Range ${index} has ${data.byteLength} bytes instead of ${expected ?? 'none'}.`,
      );
    if (range === undefined) return decodeHead(data, step, historyDigest);
    const to = into[range.array];
    new Uint8Array(to.buffer, to.byteOffset + range.offset, range.length).set(data);
    return undefined;
  }
}

function encodeHead(head: StateHead): Uint8Array {
  const view = new DataView(new ArrayBuffer(headBytes));
  view.setUint32(0, head.step, true);
  view.setUint32(4, head.skippedInARow, true);
  view.setFloat64(8, head.beta1Product, true);
  view.setFloat64(16, head.beta2Product, true);
  return new Uint8Array(view.buffer);
}

function decodeHead(bytes: Uint8Array, step: number, historyDigest: string): StateHead {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(0, true) !== step) throw new ThawError('THAW_PROTOCOL_INVALID', 'A snapshot names two steps.');
  return {
    step,
    historyDigest,
    skippedInARow: view.getUint32(4, true),
    beta1Product: view.getFloat64(8, true),
    beta2Product: view.getFloat64(16, true),
  };
}
