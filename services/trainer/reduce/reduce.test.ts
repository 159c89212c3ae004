import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  addQuantised,
  blockMaxima,
  chunkValues,
  createLayout,
  dequantiseBlock,
  fits,
  headRoomBits,
  laneLimit,
  lowestExponent,
  neededExponent,
  largestTotal,
  nextExponent,
  powerOfTwo,
} from './index.js';

fc.configureGlobal({ seed: 2208_09392 });

const sizes = fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1, maxLength: 12 });
const tensorsOf = (list: readonly number[]) => list.map((size, i) => ({ name: `t${i}`, size }));

describe('layout', () => {
  it('cuts blocks of at most 256 values that never cross a tensor, and chunks of whole blocks, without gap', () => {
    fc.assert(
      fc.property(sizes, fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1024, max: 8192 }), (list, lanes, bytes) => {
        const layout = createLayout(tensorsOf(list), lanes, { minChunkBytes: 1024, maxChunkBytes: bytes });
        const { blockStarts, chunkBlocks } = layout;
        expect(blockStarts[0]).toBe(0);
        expect(blockStarts[layout.blockCount]).toBe(layout.valueCount);
        expect(layout.valueCount).toBe(list.reduce((a, b) => a + b, 0));
        const tensorEnds = new Set(layout.tensors.map((tensor) => tensor.offset + tensor.size));
        for (let b = 0; b < layout.blockCount; b++) {
          const size = blockStarts[b + 1]! - blockStarts[b]!;
          expect(size === 256 || (size > 0 && size < 256 && tensorEnds.has(blockStarts[b + 1]!))).toBe(true);
        }
        for (const tensor of layout.tensors) {
          expect(blockStarts[tensor.firstBlock]).toBe(tensor.offset);
          expect(blockStarts[tensor.firstBlock + tensor.blockCount]).toBe(tensor.offset + tensor.size);
        }
        expect(chunkBlocks[0]).toBe(0);
        expect(chunkBlocks[layout.chunkCount]).toBe(layout.blockCount);
        for (let c = 0; c < layout.chunkCount; c++) {
          const { start, end } = chunkValues(layout, c);
          expect(end).toBeGreaterThan(start);
          expect(4 * (end - start)).toBeLessThanOrEqual(Math.max(bytes, 1024));
        }
      }),
      { numRuns: 60 },
    );
  });

  it('takes chunks of G / M between 256 KiB and 1 MiB', () => {
    const chunkBytes = (megabytes: number, lanes: number): number => {
      const layout = createLayout([{ name: 'w', size: (megabytes << 20) / 4 }], lanes);
      return 4 * chunkValues(layout, 0).end;
    };
    expect(chunkBytes(64, 4)).toBe(1 << 20);
    expect(chunkBytes(2, 4)).toBe(512 << 10);
    expect(chunkBytes(1, 8)).toBe(256 << 10);
  });
});

/** Nearest integer to value * 2^-exponent, half to even, by exact rational arithmetic. */
function exactQuantise(value: number, exponent: number): bigint {
  const bits = new DataView(new ArrayBuffer(8));
  bits.setFloat64(0, Math.abs(value));
  const raw = bits.getBigUint64(0);
  const rawExponent = Number(raw >> 52n);
  const mantissa = (raw & ((1n << 52n) - 1n)) + (rawExponent === 0 ? 0n : 1n << 52n);
  const shift = (rawExponent === 0 ? 1 : rawExponent) - 1075 - exponent;
  if (shift >= 0) return (value < 0 ? -1n : 1n) * (mantissa << BigInt(shift));
  const divisor = 1n << BigInt(-shift);
  let quotient = mantissa / divisor;
  const twice = 2n * (mantissa % divisor);
  if (twice > divisor || (twice === divisor && quotient % 2n === 1n)) quotient++;
  return value < 0 ? -quotient : quotient;
}

const float = fc.float({ noNaN: true, noDefaultInfinity: true });
const laneCounts = fc.constantFrom(1, 2, 3, 4, 7, 16, 64, 1024);

describe('fixed point', () => {
  it('has exact powers of two', () => {
    for (let k = -150; k <= 150; k++) expect(powerOfTwo(k)).toBe(2 ** k);
  });

  it('quantises exactly as rational arithmetic, sums to int32 for any number of lanes, in any order', () => {
    fc.assert(
      fc.property(
        laneCounts.filter((m) => m <= 16),
        fc.array(fc.array(float, { minLength: 6, maxLength: 6 }), { minLength: 16, maxLength: 16 }),
        (laneCount, rows) => {
          const layout = createLayout(
            [
              { name: 'a', size: 4 },
              { name: 'b', size: 2 },
            ],
            laneCount,
          );
          const lanes = rows.slice(0, laneCount).map((row) => Float32Array.from(row));
          const limit = laneLimit(laneCount);
          const maxima = new Float32Array(2);
          const exponents = new Int8Array(2).fill(lowestExponent);
          for (const lane of lanes) {
            blockMaxima(layout, 0, 2, lane, maxima);
            for (let b = 0; b < 2; b++) exponents[b] = neededExponent(maxima[b]!, exponents[b]!, limit);
          }
          const sums = new Int32Array(6);
          for (const lane of lanes) addQuantised(layout, 0, 2, lane, exponents, sums, 0);
          const reversed = new Int32Array(6);
          for (const lane of [...lanes].reverse()) addQuantised(layout, 0, 2, lane, exponents, reversed, 0);
          expect(reversed).toEqual(sums);
          for (let i = 0; i < 6; i++) {
            const exponent = exponents[i < 4 ? 0 : 1]!;
            let expected = 0n;
            for (const lane of lanes) {
              const q = exactQuantise(lane[i]!, exponent);
              expect(q <= BigInt(limit) && q >= -BigInt(limit)).toBe(true);
              expected += q;
            }
            expect(BigInt(sums[i]!)).toBe(expected);
          }
        },
      ),
    );
  });

  it('asks for the smallest exponent at which a block fits, and never for less than the base', () => {
    fc.assert(
      fc.property(float, laneCounts, fc.integer({ min: lowestExponent, max: 0 }), (value, laneCount, base) => {
        const largest = Math.abs(value);
        const limit = laneLimit(laneCount);
        const exponent = neededExponent(largest, base, limit);
        expect(exponent).toBeGreaterThanOrEqual(base);
        expect(exponent).toBeLessThan(127);
        expect(exactQuantise(largest, exponent) <= BigInt(limit)).toBe(true);
        if (exponent > base) expect(exactQuantise(largest, exponent - 1) > BigInt(limit)).toBe(true);
        expect(fits(largest, exponent, limit)).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  it('finds non-finite values wherever they are', () => {
    const layout = createLayout([{ name: 'a', size: 600 }], 1);
    for (const bad of [NaN, Infinity, -Infinity])
      for (const at of [0, 255, 256, 599]) {
        const gradient = new Float32Array(600).fill(-2);
        gradient[at] = bad;
        const maxima = new Float32Array(3);
        blockMaxima(layout, 0, 3, gradient, maxima);
        const block = Math.floor(at / 256);
        expect([...maxima]).toEqual([0, 1, 2].map((b) => (b === block ? NaN : 2)));
      }
  });

  it('derives the next base exponents with head room: the smallest at which the largest total, 16 times as large, fits as a lane value', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: -(2 ** 31) + 1, max: 2 ** 31 - 1 }),
        fc.integer({ min: -100, max: 90 }),
        laneCounts,
        (total, exponent, laneCount) => {
          const limit = laneLimit(laneCount);
          const next = nextExponent(largestTotal(Int32Array.of(-(2 ** 31), 0, total, 0), 1, 4), exponent, limit);
          if (total === 0) {
            expect(next).toBe(lowestExponent);
            return;
          }
          const magnitude = (e: number): number => Math.abs(total) * 2 ** (exponent - e + headRoomBits);
          expect(magnitude(next)).toBeLessThanOrEqual(limit);
          if (next > lowestExponent) expect(magnitude(next - 1)).toBeGreaterThan(limit);
          // At least 16 bits below the block's maximum, for up to 512 lanes.
          if (laneCount <= 512 && next > lowestExponent)
            expect(Math.abs(total) * 2 ** (exponent - next)).toBeGreaterThanOrEqual(2 ** 16);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('gives the mean over lanes back', () => {
    const into = new Float32Array(3);
    dequantiseBlock(Int32Array.of(9, 6, -12, 0), 1, 4, -1, 3, into);
    expect([...into]).toEqual([1, -2, 0]);
  });
});
