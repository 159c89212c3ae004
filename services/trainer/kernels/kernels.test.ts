import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { sha256Hex } from '@thaw/shared/protocol';
import type { AverageUpdate } from '../optimizer/index.js';
import { createLayout, laneLimit, neededExponent, type Layout } from '../reduce/index.js';
import { plainKernels, probeKernels, simdKernels, type ArrayKernels } from './index.js';

const options = { seed: 2208_09392, numRuns: 60 };
const optimizer = { learningRate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, warmupSteps: 0 };
const adam = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, stepSize: 2e-3, secondMomentScale: 0.0447 };
const averages: readonly AverageUpdate[] = [
  { kind: 'none' },
  { kind: 'copy' },
  { kind: 'blend', decay: Math.fround(0.995), rest: Math.fround(0.005) },
];

/** Digest of the bits, so that -0 and NaN count. */
const bits = (array: Float32Array | Int32Array | Uint32Array | Int8Array): string =>
  sha256Hex(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));

/** Arrays inside the kernels' memory, or elsewhere. */
type Where = 'inside' | 'outside';
const put = (kernels: ArrayKernels, where: Where, values: Float32Array): Float32Array => {
  const array = where === 'inside' ? kernels.float32(values.length) : new Float32Array(values.length);
  array.set(values);
  return array;
};

/** Everything that the kernels do with one lane of gradients. */
function runAll(
  kernels: ArrayKernels,
  where: Where,
  layout: Layout,
  given: readonly Float32Array[],
  average: AverageUpdate,
  laneCount: number,
  cut: number,
): string[] {
  const { blockCount } = layout;
  const [weights, ema, firstMoment, secondMoment, gradient] = given.map((values) => put(kernels, where, values)) as [
    Float32Array,
    Float32Array,
    Float32Array,
    Float32Array,
    Float32Array,
  ];
  const parts = [
    [0, cut],
    [cut, blockCount],
  ] as const;
  const maxima = new Float32Array(blockCount);
  for (const [first, end] of parts) kernels.blockMaxima(layout, first, end, gradient, maxima);
  const exponents = Int8Array.from(maxima, (largest) =>
    Number.isNaN(largest) ? 0 : neededExponent(largest, -128, laneLimit(laneCount)),
  );
  const sums = where === 'inside' ? kernels.int32(layout.valueCount) : new Int32Array(layout.valueCount);
  for (const [first, end] of parts)
    for (let lane = 0; lane < laneCount && end > first; lane++)
      kernels.addQuantised(layout, first, end, gradient, exponents.subarray(first), sums, layout.blockStarts[first]!);
  const largest = new Uint32Array(blockCount);
  const arrays = { weights, ema, firstMoment, secondMoment };
  for (const [first, end] of parts)
    kernels.update(layout, first, end, arrays, { sums, exponents, laneCount, adam, average }, largest.subarray(first));
  return [maxima, sums, weights, ema, firstMoment, secondMoment, largest].map(bits);
}

describe('SIMD kernels', () => {
  let simd: ArrayKernels;
  beforeEach(() => (simd = simdKernels({ capacityBytes: 4 << 20 })));

  it.each<Where>(['inside', 'outside'])(
    'give the bits of the plain loops over more blocks than one call takes, %s',
    (where) => {
      const layout = createLayout([{ name: 'a', size: 4 * 9001 + 2 }], 2, { blockValues: 4 });
      const given = Array.from({ length: 5 }, (_, k) =>
        Float32Array.from({ length: layout.valueCount }, (_, i) => ((i * 2654435761 + k * 40503) % 1999) / 1e3),
      );
      const average = averages[2]!;
      expect(runAll(simd, where, layout, given, average, 2, 0)).toEqual(
        runAll(plainKernels, where, layout, given, average, 2, 0),
      );
    },
  );

  it('give the bits of the plain loops: any layout, cut anywhere, in their memory or outside', () => {
    const magnitude = fc.integer({ min: -45, max: 12 }).map((power) => 10 ** power);
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 70 }), { minLength: 1, maxLength: 6 }),
        fc.constantFrom(1, 3, 4, 5, 8, 16, 256),
        fc.constantFrom(...averages),
        fc.constantFrom<Where>('inside', 'outside'),
        fc.integer({ min: 1, max: 5 }),
        magnitude,
        fc.array(fc.double({ min: -1, max: 1, noNaN: true }), { minLength: 7, maxLength: 60 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (sizes, blockValues, average, where, laneCount, scale, pattern, cutAt) => {
          const tensors = sizes.map((size, i) => ({ name: `t${i}`, size }));
          const layout = createLayout(tensors, laneCount, { blockValues });
          const values = (of: number, factor: number): Float32Array =>
            Float32Array.from(
              { length: layout.valueCount },
              (_, i) => factor * pattern[(i * of + of) % pattern.length]!,
            );
          const given = [
            values(1, 1),
            values(2, 1),
            values(3, scale),
            values(5, scale * scale).map(Math.abs),
            values(7, scale),
          ];
          const cut = Math.floor(cutAt * layout.blockCount);
          // Memory of the kernels is not given back: new ones for every case.
          const fresh = simdKernels({ capacityBytes: 1 << 16 });
          expect(runAll(fresh, where, layout, given, average, laneCount, cut)).toEqual(
            runAll(plainKernels, where, layout, given, average, laneCount, cut),
          );
        },
      ),
      options,
    );
  });

  it('go on from tile to tile, in their memory and outside, and touch no neighbour', () => {
    const layout = createLayout(
      [
        { name: 'a', size: 5 },
        { name: 'b', size: 100_003 },
      ],
      2,
    );
    const values = (seed: number): Float32Array =>
      Float32Array.from({ length: layout.valueCount }, (_, i) => (((i * 7919 + seed * 104_729) % 2003) - 1001) / 1001);
    const given = [values(1), values(2), values(3), values(4).map(Math.abs), values(5)];
    const expected = runAll(plainKernels, 'outside', layout, given, averages[2]!, 2, 100);
    for (const where of ['inside', 'outside'] as const) {
      const before = simd.float32(16).fill(1);
      expect(runAll(simd, where, layout, given, averages[2]!, 2, 100)).toEqual(expected);
      const after = simd.float32(16).fill(2);
      runAll(simd, where, layout, given, averages[2]!, 2, 7);
      expect([...before, ...after]).toEqual([...Array<number>(16).fill(1), ...Array<number>(16).fill(2)]);
    }
  });

  it('see values that are not finite, in any lane of a vector', () => {
    const layout = createLayout([{ name: 'a', size: 40 }], 1, { blockValues: 8 });
    for (let at = 0; at < 8; at++)
      for (const poison of [NaN, Infinity, -Infinity]) {
        const gradient = simd.float32(40).fill(-0.5);
        gradient[8 + at] = poison;
        const maxima = new Float32Array(5);
        simd.blockMaxima(layout, 0, 5, gradient, maxima);
        expect([...maxima]).toEqual([0.5, NaN, 0.5, 0.5, 0.5]);
      }
  });

  it('give out memory that lies elsewhere once theirs is used up', () => {
    const small = simdKernels({ capacityBytes: 1 << 16 });
    const [first, second] = [small.float32(1 << 14), small.float32(1 << 14)];
    expect(first.buffer).not.toBe(second.buffer);
    expect(second.every((value) => value === 0)).toBe(true);
    expect(second.buffer).toBeInstanceOf(SharedArrayBuffer);
  });
});

describe('the probe of a fingerprint', () => {
  it('is the same for all kernels, depends on the settings, and refuses kernels that compute something else', () => {
    const simd = simdKernels({ capacityBytes: 4 << 20 });
    expect(probeKernels(simd, optimizer)).toBe(probeKernels(plainKernels, optimizer));
    expect(probeKernels(simd, { ...optimizer, beta1: 0.8 })).not.toBe(probeKernels(simd, optimizer));
    const wrong: ArrayKernels = {
      ...plainKernels,
      name: 'simd',
      blockMaxima: (layout, first, end, gradient, into) => {
        plainKernels.blockMaxima(layout, first, end, gradient, into);
        into[0]! += 1;
      },
    };
    expect(() => probeKernels(wrong, optimizer)).toThrow(
      expect.objectContaining({ code: 'THAW_ENGINE_NOT_DETERMINISTIC' }),
    );
  });
});
