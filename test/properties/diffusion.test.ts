/** Invariants of degradations and samplers (Bansal et al. 2022; section 8 of the reference), whatever the network does. */
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Degradation } from '@thaw/shared/diffusion';
import { createDegradation, planSampling, runSampler, traceSampler } from '@thaw/shared/diffusion';
import { degradationProblems } from '@thaw/shared/protocol';
import type { BlurConfig, DegradationConfig } from '@thaw/shared/protocol';
import { RandomStream } from '@thaw/shared/runtime';
import { openEagerBackend } from '../golden/eager-backend.js';
import type { DegradeOptions, Images } from '../golden/runners/images.js';
import { degrade, estimateNext } from '../golden/runners/images.js';

beforeAll(openEagerBackend);

const size = 12;
const channels = 3;
const batch = 2;
const shape: Images['shape'] = [batch, size, size, channels];
const length = batch * size * size * channels;

const image = (seed: number, scale = 1): Float32Array => {
  const stream = new RandomStream(seed, 'evaluation');
  return Float32Array.from({ length }, () => scale * (2 * stream.uniform() - 1));
};

const contextOf = (degradation: Degradation, seed: number): DegradeOptions => {
  const drawn = Array.from({ length: batch }, (_, row) =>
    degradation.drawContext(
      new RandomStream(seed, 'degradation', 0, 0, row),
      image(seed ^ (row + 1)).slice(0, length / batch), // a partner, where one is asked for
    ),
  );
  const names = Object.entries(degradation.contextSpecs);
  return {
    context: Object.fromEntries(
      names.map(([name, spec]) => [
        name,
        { data: Float32Array.from(drawn.flatMap((d) => Array.from(d[name]!))), shape: [batch, ...spec.shape] },
      ]),
    ),
  };
};

const at = (
  degradation: Degradation,
  data: Float32Array,
  severity: number,
  options: DegradeOptions = {},
): Float32Array => degrade(degradation, { shape, data }, new Array<number>(batch).fill(severity), options);

/** A restoration that is neither linear nor any good; differs by severity and pixel, values in [-1, 1]. */
const wild =
  (seed: number) =>
  (x: Float32Array, t: number): Float32Array => {
    const stream = new RandomStream(seed, 'evaluation', t + 1);
    return x.map((value) => Math.max(-1, Math.min(1, value * value - 0.3 * t + (2 * stream.uniform() - 1))));
  };

async function algorithm2(
  degradation: Degradation,
  start: Float32Array,
  seed: number,
  options: DegradeOptions = {},
  count?: number,
) {
  const steps: { severity: number; nextSeverity: number; estimate: Float32Array }[] = [];
  const final = await runSampler(planSampling({ algorithm: 'algorithm2', steps: degradation.steps, count }), start, {
    restore: wild(seed),
    degrade: (x0, severity) => at(degradation, x0, severity, options),
    onStep: ({ severity, nextSeverity }, _, estimate) => steps.push({ severity, nextSeverity, estimate }),
  });
  return { final, steps };
}

/** Weighted means per image and channel; `weight` is per axis. */
function channelMeans(data: Float32Array, weight: (i: number) => number): number[] {
  const sums = new Array<number>(batch * channels).fill(0);
  let total = 0;
  for (let i = 0; i < size; i++) for (let j = 0; j < size; j++) total += weight(i) * weight(j);
  data.forEach((value, k) => {
    const pixel = Math.floor(k / channels) % (size * size);
    sums[Math.floor(k / (size * size * channels)) * channels + (k % channels)]! +=
      (value * weight(Math.floor(pixel / size)) * weight(pixel % size)) / total;
  });
  return sums;
}

function expectClose(got: ArrayLike<number>, want: ArrayLike<number>, tolerance: number): void {
  let worst = 0;
  for (let i = 0; i < want.length; i++)
    worst = Math.max(worst, Math.abs(got[i]! - want[i]!) || (Number.isNaN(got[i]!) ? Infinity : 0));
  expect(got.length).toBe(want.length);
  expect(worst).toBeLessThan(tolerance);
}

const routines = [
  'Incremental',
  'Constant',
  'Constant_reflect',
  'Exponential',
  'Exponential_reflect',
  'Special_6_routine',
  'Linear_Accum_Std',
  'Linear_Dec_Std',
] as const;
const blurs: fc.Arbitrary<BlurConfig> = fc
  .record({
    family: fc.constant('blur' as const),
    steps: fc.integer({ min: 1, max: 8 }),
    routine: fc.constantFrom(...routines),
    kernelSize: fc.constantFrom(1, 3, 5, 11),
    kernelStd: fc.double({ min: 0.05, max: 8, noNaN: true }),
    discrete: fc.boolean(),
  })
  .filter((config) => degradationProblems(config, { size, channels }).length === 0);
const wrapped = blurs.filter(({ routine }) => !routine.endsWith('reflect') && routine !== 'Special_6_routine');
const reflected = blurs.filter(
  ({ routine, discrete }) => (routine.endsWith('reflect') || routine === 'Special_6_routine') && !discrete,
);
const seeds = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const geometry = { size, channels };
const options = { numRuns: 25, seed: 20220819 };

const families: readonly DegradationConfig[] = [
  { family: 'blur', steps: 5, routine: 'Exponential_reflect', kernelSize: 5, kernelStd: 0.2, discrete: false },
  { family: 'super-resolution', steps: 2, routine: 'Incremental_factor_2' },
  { family: 'decolorization', steps: 5, routine: 'Constant', factor: 0.8, totalRemove: true },
  { family: 'mask', steps: 5, routine: 'Random_Incremental', kernelStd: 0.6, initialMask: 1, discrete: false },
  { family: 'colour-mask', steps: 5, kernelStd: 0.6, initialMask: 1, reverse: true },
  { family: 'fade', steps: 5, routine: 'Incremental', factor: 0.15 },
  { family: 'noise', steps: 5 },
  { family: 'animorphosis', steps: 5, partners: 'others' },
  { family: 'snow', steps: 5, level: 2, randomSnow: true, fixBrightness: true, singleSnow: true },
];

describe.each(families.map((config) => [config.family, config] as const))('%s', (_, config) => {
  const degradation = createDegradation(config, geometry);

  it('Algorithm 2 telescopes: x_0 = x_T + sum of D(xhat, s - 1) - D(xhat, s)', async () => {
    await fc.assert(
      fc.asyncProperty(seeds, fc.integer({ min: 1, max: degradation.steps }), async (seed, count) => {
        const drawn = contextOf(degradation, seed);
        const start = at(degradation, image(seed), degradation.steps, drawn);
        const { final, steps } = await algorithm2(degradation, start, seed, drawn, count);
        const expected = Float64Array.from(start);
        for (const { severity, nextSeverity, estimate } of steps) {
          const [from, to] = [
            at(degradation, estimate, severity, drawn),
            at(degradation, estimate, nextSeverity, drawn),
          ];
          for (let i = 0; i < length; i++) expected[i]! += to[i]! - from[i]!;
        }
        expect(steps).toHaveLength(count);
        expectClose(final, expected, 5e-6);
      }),
      { ...options, numRuns: 8 },
    );
  });

  it('a perfect network gives back the clean image', async () => {
    await fc.assert(
      fc.asyncProperty(seeds, async (seed) => {
        const clean = image(seed);
        const drawn = contextOf(degradation, seed);
        const final = await runSampler(
          planSampling({ algorithm: 'algorithm2', steps: degradation.steps }),
          at(degradation, clean, degradation.steps, drawn),
          {
            restore: () => clean,
            degrade: (x0, severity) => at(degradation, x0, severity, drawn),
          },
        );
        expectClose(final, clean, 5e-6);
      }),
      { ...options, numRuns: 8 },
    );
  });
});

describe('blur', () => {
  it('with wrapped borders keeps every channel mean of x_T to x_0, whatever the network does', async () => {
    await fc.assert(
      fc.asyncProperty(wrapped, seeds, async (config, seed) => {
        const degradation = createDegradation(config, geometry);
        const start = at(degradation, image(seed), config.steps);
        const { final } = await algorithm2(degradation, start, seed);
        expectClose(
          channelMeans(final, () => 1),
          channelMeans(start, () => 1),
          1e-5,
        );
        expectClose(
          channelMeans(start, () => 1),
          channelMeans(image(seed), () => 1),
          1e-5,
        );
      }),
      options,
    );
  });

  it('with reflected borders keeps the mean weighted (1/2, 1, .., 1, 1/2) per axis, and not the plain mean', async () => {
    const edge = (i: number): number => (i === 0 || i === size - 1 ? 0.5 : 1);
    let plainMoved = 0;
    await fc.assert(
      fc.asyncProperty(reflected, seeds, async (config, seed) => {
        const degradation = createDegradation(config, geometry);
        const start = at(degradation, image(seed), config.steps);
        const { final } = await algorithm2(degradation, start, seed);
        expectClose(channelMeans(final, edge), channelMeans(start, edge), 1e-5);
        const [before, after] = [channelMeans(start, () => 1), channelMeans(final, () => 1)];
        plainMoved = Math.max(plainMoved, ...before.map((mean, i) => Math.abs(mean - after[i]!)));
      }),
      options,
    );
    expect(plainMoved).toBeGreaterThan(1e-4);
  });

  it('is linear, and a constant prediction fills in what A_T removed: x_0 = x_T + (I - A_T) xhat', async () => {
    await fc.assert(
      fc.asyncProperty(blurs, seeds, async (config, seed) => {
        const degradation = createDegradation(config, geometry);
        const [x, y] = [image(seed), image(seed ^ 1)];
        const severity = 1 + (seed % config.steps);
        const mixed = at(
          degradation,
          x.map((value, i) => 0.5 * value - 2 * y[i]!),
          severity,
        );
        const [dx, dy] = [at(degradation, x, severity), at(degradation, y, severity)];
        expectClose(
          mixed,
          dx.map((value, i) => 0.5 * value - 2 * dy[i]!),
          1e-5,
        );
        const start = at(degradation, x, config.steps);
        const removed = at(degradation, y, config.steps);
        const final = await runSampler(planSampling({ algorithm: 'algorithm2', steps: config.steps }), start, {
          restore: () => y,
          degrade: (x0, s) => at(degradation, x0, s),
        });
        expectClose(
          final,
          start.map((value, i) => value + y[i]! - removed[i]!),
          1e-5,
        );
      }),
      options,
    );
  });

  it('steps with one padding commute: A_s then A_r is A_r then A_s', () => {
    fc.assert(
      fc.property(
        blurs.filter(({ discrete }) => !discrete),
        seeds,
        (config, seed) => {
          const degradation = createDegradation(config, geometry);
          const [s, r] = [1 + (seed % config.steps), config.steps];
          const x = image(seed);
          expectClose(at(degradation, at(degradation, x, s), r), at(degradation, at(degradation, x, r), s), 1e-5);
        },
      ),
      options,
    );
  });

  it('discrete ends in one colour per channel, that of the mean', () => {
    fc.assert(
      fc.property(wrapped, seeds, (config, seed) => {
        const x = image(seed);
        const flat = at(createDegradation({ ...config, discrete: true }, geometry), x, config.steps);
        const means = channelMeans(x, () => 1);
        expectClose(
          flat,
          flat.map((_, k) => means[Math.floor(k / (size * size * channels)) * channels + (k % channels)]!),
          1e-6,
        );
      }),
      options,
    );
  });
});

describe('other families', () => {
  it.each(['Incremental', 'Constant', 'Random_Incremental'] as const)(
    'masks, %s: x_0 is a convex combination per pixel of the clean image and the predictions',
    async (routine) => {
      const degradation = createDegradation(
        { family: 'mask', steps: 6, routine, kernelStd: 0.6, initialMask: 1, discrete: false },
        geometry,
      );
      await fc.assert(
        fc.asyncProperty(seeds, async (seed) => {
          const clean = image(seed);
          const drawn = contextOf(degradation, seed);
          const white = new Float32Array(length).fill(1);
          const masks = [0, 1, 2, 3, 4, 5, 6].map((severity) => at(degradation, white, severity, drawn));
          const { final, steps } = await algorithm2(degradation, at(degradation, clean, 6, drawn), seed, drawn);
          let least = Infinity;
          let furthestFromOne = 0;
          const expected = clean.map((value, k) => {
            let total = masks[6]![k]!;
            let sum = total * value;
            for (const { severity, estimate } of steps) {
              const weight = masks[severity - 1]![k]! - masks[severity]![k]!;
              least = Math.min(least, weight);
              total += weight;
              sum += weight * estimate[k]!;
            }
            furthestFromOne = Math.max(furthestFromOne, Math.abs(total - 1));
            return sum;
          });
          expect(least).toBeGreaterThanOrEqual(0);
          expect(furthestFromOne).toBeLessThan(1e-6);
          expectClose(final, expected, 5e-6);
        }),
        { ...options, numRuns: 6 },
      );
    },
  );

  it.each([
    { family: 'super-resolution', steps: 2, routine: 'Incremental_factor_2' },
    { family: 'super-resolution', steps: 4, routine: 'Incremental_area_with_blur' },
    { family: 'decolorization', steps: 5, routine: 'Constant', factor: 0.8, totalRemove: true },
    { family: 'mask', steps: 5, routine: 'Random_Incremental', kernelStd: 0.6, initialMask: 1, discrete: false },
    { family: 'fade', steps: 5, routine: 'Spiral', factor: 0.1 },
  ] satisfies DegradationConfig[])(
    '$family, $routine: linear, and a constant prediction fills in what A_T removed: x_0 = x_T + (I - A_T) xhat',
    async (config) => {
      const degradation = createDegradation(config, geometry);
      const { steps } = config;
      await fc.assert(
        fc.asyncProperty(seeds, async (seed) => {
          const drawn = contextOf(degradation, seed);
          const of = (x: Float32Array, severity: number): Float32Array => at(degradation, x, severity, drawn);
          const [x, y] = [image(seed), image(seed ^ 1)];
          const severity = 1 + (seed % steps);
          const [dx, dy] = [of(x, severity), of(y, severity)];
          const mixed = x.map((value, i) => 0.5 * value - 2 * y[i]!);
          expectClose(
            of(mixed, severity),
            dx.map((value, i) => 0.5 * value - 2 * dy[i]!),
            1e-5,
          );
          const [start, removed] = [of(x, steps), of(y, steps)];
          const final = await runSampler(planSampling({ algorithm: 'algorithm2', steps }), start, {
            restore: () => y,
            degrade: of,
          });
          expectClose(
            final,
            start.map((value, i) => value + y[i]! - removed[i]!),
            1e-5,
          );
        }),
        { ...options, numRuns: 6 },
      );
    },
  );

  it.each([
    { family: 'noise', steps: 12 },
    { family: 'animorphosis', steps: 12, partners: 'others' },
  ] as const)(
    '$family: from x_T = z, x_0 is (1 - b_T) z plus a weighted average of the predictions',
    async (config) => {
      const degradation = createDegradation(config, geometry);
      const [keepImage, keepPartner] = [
        degradation.tables['keep-image']!.data,
        degradation.tables['keep-partner']!.data,
      ];
      await fc.assert(
        fc.asyncProperty(seeds, async (seed) => {
          const z = image(seed);
          const { final, steps } = await algorithm2(degradation, z, seed, { context: { partner: { data: z, shape } } });
          let total = 0;
          for (const { severity } of steps) {
            expect(keepImage[severity - 1]! - keepImage[severity]!).toBeGreaterThanOrEqual(0);
            total += keepImage[severity - 1]! - keepImage[severity]!;
          }
          expect(total).toBeCloseTo(1 - keepImage[12]!, 6);
          const expected = z.map((value, k) => {
            let sum = (1 - keepPartner[12]!) * value;
            for (const { severity, estimate } of steps)
              sum += (keepImage[severity - 1]! - keepImage[severity]!) * estimate[k]!;
            return sum;
          });
          expectClose(final, expected, 1e-5);
        }),
        { ...options, numRuns: 10 },
      );
      // The published length: next to nothing of z is left.
      const published = createDegradation({ ...config, steps: 200 }, geometry).tables;
      expect(1 - published['keep-image']!.data[200]!).toBeCloseTo(0.99975, 5);
      expect(1 - published['keep-partner']!.data[200]!).toBeLessThan(1e-7);
    },
  );

  it('estimated noise: with the noise that the estimate implies, D(xhat, s) is x_s again', () => {
    const degradation = createDegradation({ family: 'noise', steps: 12 }, geometry);
    fc.assert(
      fc.property(seeds, fc.integer({ min: 1, max: 12 }), (seed, severity) => {
        const x = image(seed);
        expectClose(estimateNext(degradation, shape, x, image(seed ^ 1), severity, severity), x, 5e-6);
        // Down to 0 nothing of the noise is left.
        expectClose(estimateNext(degradation, shape, x, image(seed ^ 1), severity, 0), image(seed ^ 1), 1e-6);
      }),
      { ...options, numRuns: 10 },
    );
  });

  it('decolorization in Lab is that in RGB, cut off at the range of the image; D(x, 0) is x exactly', () => {
    const config = { family: 'decolorization', steps: 6, routine: 'Linear', factor: 0.9, totalRemove: true } as const;
    const [plain, lab] = [config, { ...config, toLab: true }].map((c) => createDegradation(c, geometry)) as [
      Degradation,
      Degradation,
    ];
    fc.assert(
      fc.property(seeds, fc.integer({ min: 1, max: 6 }), (seed, severity) => {
        const inside = image(seed);
        expect(at(lab, inside, severity)).toEqual(at(plain, inside, severity));
        const outside = inside.map((value) => 2 * value);
        const cut = outside.map((value) => Math.max(-1, Math.min(1, value)));
        expect(at(lab, outside, severity)).toEqual(at(plain, cut, severity));
        expect(at(lab, outside, 0)).toEqual(outside);
      }),
      { ...options, numRuns: 10 },
    );
  });

  it('decolorization: the mean over channels of x_T survives', async () => {
    const degradation = createDegradation(
      { family: 'decolorization', steps: 6, routine: 'Linear', factor: 0.9, totalRemove: true },
      geometry,
    );
    const grey = (data: Float32Array): number[] =>
      Array.from({ length: length / channels }, (_, p) => (data[p * 3]! + data[p * 3 + 1]! + data[p * 3 + 2]!) / 3);
    await fc.assert(
      fc.asyncProperty(seeds, async (seed) => {
        const start = at(degradation, image(seed), 6);
        const { final } = await algorithm2(degradation, start, seed);
        expectClose(grey(final), grey(start), 5e-6);
      }),
      { ...options, numRuns: 10 },
    );
  });

  it('halving gives block means: of the image by area and bilinear, of what the first step left by bicubic', () => {
    const sixteen: Images['shape'] = [1, 16, 16, 1];
    const blockMeans = (x: Float32Array, edge: number): Float32Array =>
      x.map((_, k) => {
        const [row, column] = [Math.floor(k / 16), k % 16].map((i) => i - (i % edge));
        let sum = 0;
        for (let i = 0; i < edge; i++) for (let j = 0; j < edge; j++) sum += x[(row! + i) * 16 + column! + j]!;
        return sum / (edge * edge);
      });
    for (const how of ['', 'area_', 'bilinear_'] as const) {
      const degradation = createDegradation(
        { family: 'super-resolution', steps: 4, routine: `Incremental_${how}factor_2` },
        { size: 16, channels: 1 },
      );
      const of = (data: Float32Array, severity: number): Float32Array =>
        degrade(degradation, { shape: sixteen, data }, [severity]);
      fc.assert(
        fc.property(seeds, fc.integer({ min: 1, max: 4 }), (seed, s) => {
          const x = image(seed).slice(0, 256);
          expectClose(of(x, s), blockMeans(how === '' ? of(x, 1) : x, 2 ** s), 1e-6);
        }),
        { ...options, numRuns: 8 },
      );
    }
  });

  it('halving by area or bilinear is a projection: D(D(x, s), r) = D(x, max(s, r))', () => {
    // 16 pixels, so that all block sizes divide it.
    const sixteen: Images['shape'] = [1, 16, 16, 1];
    for (const routine of ['Incremental_area_factor_2', 'Incremental_bilinear_factor_2'] as const) {
      const degradation = createDegradation(
        { family: 'super-resolution', steps: 4, routine },
        { size: 16, channels: 1 },
      );
      const blocky = (data: Float32Array, severity: number): Float32Array =>
        degrade(degradation, { shape: sixteen, data }, [severity]);
      fc.assert(
        fc.property(seeds, fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 4 }), (seed, s, r) => {
          const x = image(seed).slice(0, 256);
          expectClose(blocky(blocky(x, s), r), blocky(x, Math.max(s, r)), 1e-6);
        }),
        { ...options, numRuns: 10 },
      );
    }
  });

  it('what A_s removes is all that an error of a prediction can spoil: x_0 - x* = sum (A_{s-1} - A_s)(xhat_s - x*)', async () => {
    for (const config of families.filter(({ family }) => family === 'blur' || family === 'super-resolution')) {
      const degradation = createDegradation(config, geometry);
      await fc.assert(
        fc.asyncProperty(seeds, async (seed) => {
          const clean = image(seed);
          const { final, steps } = await algorithm2(degradation, at(degradation, clean, degradation.steps), seed);
          const expected = Float64Array.from(clean);
          for (const { severity, nextSeverity, estimate } of steps) {
            const error = estimate.map((value, i) => value - clean[i]!);
            const [from, to] = [at(degradation, error, severity), at(degradation, error, nextSeverity)];
            for (let i = 0; i < length; i++) expected[i]! += to[i]! - from[i]!;
          }
          expectClose(final, expected, 1e-5);
        }),
        { ...options, numRuns: 8 },
      );
    }
  });

  it('Algorithm 1 keeps the whole error of its last prediction: x_0 = R(x_1, 0)', async () => {
    for (const config of families) {
      const degradation = createDegradation(config, geometry);
      await fc.assert(
        fc.asyncProperty(seeds, async (seed) => {
          const drawn = contextOf(degradation, seed);
          const { estimates, final, states } = await traceSampler(
            planSampling({ algorithm: 'algorithm1', steps: degradation.steps }),
            at(degradation, image(seed), degradation.steps, drawn),
            { restore: wild(seed), degrade: (x0, severity) => at(degradation, x0, severity, drawn) },
          );
          expect(final).toBe(estimates.at(-1));
          expect(final).toEqual(wild(seed)(states.at(-2)!, 0));
          // And every state before is what the last estimate looks like one severity on.
          for (let k = 1; k < degradation.steps; k++)
            expect(states[k]).toEqual(at(degradation, estimates[k - 1]!, degradation.steps - k, drawn));
        }),
        { ...options, numRuns: 4 },
      );
    }
  });

  it('snow with fixed brightness, where nothing is cut off: any network is exact with Algorithm 2', async () => {
    const degradation = createDegradation(
      { family: 'snow', steps: 5, level: 1, randomSnow: true, fixBrightness: true, singleSnow: false },
      geometry,
    );
    let exact = 0;
    await fc.assert(
      fc.asyncProperty(seeds, async (seed) => {
        const drawn = contextOf(degradation, seed);
        // So dark that no snow reaches white; the network's guesses are as dark, and wrong.
        const clean = image(seed).map((value) => 0.05 * (value - 1) - 0.9);
        const guess = image(seed ^ 1).map((value) => 0.05 * (value - 1) - 0.9);
        const start = at(degradation, clean, 5, drawn);
        if (start.some((value) => value >= 1)) return; // cut off after all
        const final = await runSampler(planSampling({ algorithm: 'algorithm2', steps: 5 }), start, {
          restore: () => guess,
          degrade: (x0, severity) => at(degradation, x0, severity, drawn),
        });
        exact++;
        expectClose(final, clean, 2e-6);
      }),
      { ...options, numRuns: 40 },
    );
    expect(exact).toBeGreaterThan(5);
  });

  it('colour masks: x_0 is a convex combination per pixel of the clean image and the predictions', async () => {
    const degradation = createDegradation(
      { family: 'colour-mask', steps: 6, kernelStd: 0.6, initialMask: 1, reverse: true },
      geometry,
    );
    const alphas = degradation.tables.alpha!.data;
    const alpha = (severity: number, k: number): number =>
      alphas[severity * size * size + (Math.floor(k / channels) % (size * size))]!;
    await fc.assert(
      fc.asyncProperty(seeds, async (seed) => {
        const drawn = contextOf(degradation, seed);
        const clean = image(seed);
        const { final, steps } = await algorithm2(degradation, at(degradation, clean, 6, drawn), seed, drawn);
        // The colour mixed in at T is taken out again, severity by severity.
        let least = Infinity;
        const expected = clean.map((value, k) => {
          let sum = alpha(6, k) * value;
          for (const { severity, estimate } of steps) {
            const weight = alpha(severity - 1, k) - alpha(severity, k);
            least = Math.min(least, weight);
            sum += weight * estimate[k]!;
          }
          return sum;
        });
        expect(least).toBeGreaterThanOrEqual(-1e-7);
        expectClose(final, expected, 5e-6);
      }),
      { ...options, numRuns: 10 },
    );
  });

  it('snow with fixed brightness only brightens', () => {
    const degradation = createDegradation(
      { family: 'snow', steps: 5, level: 1, randomSnow: true, fixBrightness: true, singleSnow: false },
      geometry,
    );
    fc.assert(
      fc.property(seeds, (seed) => {
        const x = image(seed);
        const snowy = at(degradation, x, 5, contextOf(degradation, seed));
        snowy.forEach((value, k) => {
          expect(value).toBeGreaterThanOrEqual(x[k]! - 1e-6);
          expect(value).toBeLessThanOrEqual(1);
        });
      }),
      { ...options, numRuns: 10 },
    );
  });
});
