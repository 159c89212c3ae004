/**
 * Gradients as integers train like gradients in fp32: for one seed the two loss curves differ by less than the curves of different seeds
 * do. Small and always run; the whole experiment is `npm run bench -- fixed-point` (docs/experiments.md).
 */
import { openMnist, packDataset, sliceSource } from '@thaw/shared/data';
import { RunConfigSchema, type RunConfig } from '@thaw/shared/protocol';
import { MemoryStore } from '@thaw/shared/storage';
import { beforeAll, expect, test } from 'vitest';
import {
  compareCurves,
  openTraining,
  trainInFixedPoint,
  trainInFp32,
  withinSpread,
  type Trained,
} from '../../bench/fixed-point-training.mjs';

const steps = 40;
const windowSteps = 10;
const seeds = [1, 2, 3];
const runOf = (seed: number): RunConfig =>
  RunConfigSchema.parse({
    format: 'thaw.run/1',
    name: 'small',
    seed,
    data: { dataset: 'digits', size: 16, channels: 1 },
    degradation: { family: 'blur', steps: 4, routine: 'Constant', kernelSize: 5, kernelStd: 1 },
    network: { kind: 'convnext-unet', dim: 8, mults: [1, 2], residual: true, zeroInitLast: true },
    optimizer: { learningRate: 0.002 },
    batch: { global: 8, micro: 2 },
    steps,
  });

let curves: { seed: number; fp32: Trained; fixedPoint: Trained }[];

beforeAll(async () => {
  const store = new MemoryStore();
  const { train, test: heldOut } = await openMnist();
  await packDataset(
    store,
    { train: sliceSource(train, 0, 400), test: sliceSource(heldOut, 0, 32) },
    { name: 'digits', preprocessing: { method: 'pillow-bilinear', size: 16 }, shardBytes: 100 * 256 },
  );
  curves = [];
  for (const seed of seeds) {
    const training = await openTraining(runOf(seed), store);
    const fp32 = await trainInFp32(training, steps);
    curves.push({ seed, fp32, fixedPoint: await trainInFixedPoint(training, steps) });
    await training.close();
  }
});

test('every step of both ways is there, and training has learnt something', () => {
  for (const { fp32, fixedPoint } of curves)
    for (const { losses } of [fp32, fixedPoint]) {
      expect(losses.length).toBe(steps);
      expect(losses.every((loss) => Number.isFinite(loss))).toBe(true);
      const of = (part: number[]): number => part.reduce((sum, loss) => sum + loss, 0) / part.length;
      expect(of(losses.slice(-10))).toBeLessThan(0.97 * of(losses.slice(0, 10)));
    }
});

test('the two ways are two ways: same loss at the first step, other bits in the weights afterwards', () => {
  for (const { fp32, fixedPoint } of curves) {
    expect(fixedPoint.losses[0]).toBeCloseTo(fp32.losses[0]!, 6);
    const different = fixedPoint.weights.filter((weight, i) => weight !== fp32.weights[i]).length;
    expect(different).toBeGreaterThan(0);
  }
});

test('in every window of steps the ways differ by less than the seeds do', () => {
  const windows = compareCurves(
    curves.map(({ fp32, fixedPoint }) => ({ fp32: fp32.losses, fixedPoint: fixedPoint.losses })),
    windowSteps,
  );
  expect(windows.length).toBe(4);
  for (const { spread, difference } of windows) {
    expect(spread).toBeGreaterThan(0);
    expect(difference).toBeLessThan(spread);
  }
});

test('a comparison of curves that drift apart says so', () => {
  const fp32 = [1, 1, 1, 1];
  const [first, second] = compareCurves(
    [
      { fp32, fixedPoint: [1, 1, 2, 2] },
      { fp32: fp32.map((loss) => loss + 0.5), fixedPoint: fp32 },
    ],
    2,
  );
  expect(first).toMatchObject({ fromStep: 1, throughStep: 2, spread: 0.5, difference: 0.5 });
  expect(second).toMatchObject({ fromStep: 3, throughStep: 4, spread: 0.5, difference: 1 });
});

test('the verdict over windows counts the curves inside those of the seeds, and a way that drifts is outside', () => {
  const seeds = [1, 2, 3, 4].map((seed) => Array.from({ length: 4 }, (_, step) => seed / (step + 1)));
  const curvesOf = (way: (losses: number[]) => number[]): { fp32: number[]; fixedPoint: number[] }[] =>
    seeds.map((fp32) => ({ fp32, fixedPoint: way(fp32) }));
  // A shuffle of the seeds is as good as another draw of them; a constant added puts the highest curve outside, then all.
  const shuffled = compareCurves(
    seeds.map((fp32, i) => ({ fp32, fixedPoint: seeds[(i + 1) % seeds.length]! })),
    2,
  );
  expect(withinSpread(shuffled)).toMatchObject({ within: true, inside: 8, of: 8, expected: 4.8 });
  const drifted = compareCurves(
    curvesOf((losses) => losses.map((loss) => loss + 1.5)),
    2,
  );
  expect(withinSpread(drifted).within).toBe(false);
});
