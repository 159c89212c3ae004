import { expect, test } from 'vitest';
import { RunConfigSchema, SnowConfigSchema } from '../../protocol/index.js';
import { RandomStream } from '../../runtime/index.js';
import { contextAt, degradationOf, trainingInputs } from '../index.js';
import { createSnow } from './snow.js';

const steps = 40;
const singles = (changes: object): Record<string, Float32Array>[] => {
  const config = SnowConfigSchema.parse({ family: 'snow', steps, level: 1, singleSnow: true, ...changes });
  const snow = createSnow(config, { size: 16, channels: 3 });
  return Array.from({ length: 15 }, (_, position) =>
    contextAt(snow, position, (at, purpose) => new RandomStream(9, purpose, 0, 0, at)),
  );
};
const verticalAt = (contexts: readonly Record<string, Float32Array>[], severity: number): number =>
  contexts.reduce((sum, { vertical }) => sum + vertical![severity]!, 0);

test.each([true, false])(
  'single snow, random %s: half of a batch has vertical streaks, another half every time',
  (randomSnow) => {
    const contexts = singles({ patternImages: 5, randomSnow });
    const choices = new Set<string>();
    const often = new Array<number>(5).fill(0);
    for (const first of [0, 5, 10]) {
      const group = contexts.slice(first, first + 5);
      for (let s = 1; s <= steps; s++) {
        expect(verticalAt(group, s)).toBe(2);
        const choice = group.map(({ vertical }) => vertical![s]!);
        choices.add(choice.join());
        choice.forEach((value, place) => (often[place]! += value));
      }
      expect(new Set(group.map(({ field }) => field!.join())).size).toBe(5);
    }
    expect(choices.size).toBe(10); // all pairs of five
    const draws = randomSnow ? 3 * steps : steps;
    const [mean, spread] = [draws * 0.4, Math.sqrt(draws * 0.24)];
    for (const times of often) expect(Math.abs((times * draws) / (3 * steps) - mean)).toBeLessThan(4 * spread);
    expect(contexts[0]!.vertical!.join() === contexts[5]!.vertical!.join()).toBe(!randomSnow);
  },
);

test('single snow of images on their own: a coin for each', () => {
  const contexts = singles({});
  const counts = Array.from({ length: steps }, (_, s) => verticalAt(contexts, s + 1));
  expect(new Set(counts).size).toBeGreaterThan(3);
  const all = counts.reduce((sum, count) => sum + count, 0);
  expect(Math.abs(all - (steps * 15) / 2)).toBeLessThan(4 * Math.sqrt((steps * 15) / 4));
});

test('a batch is dealt out across lanes', () => {
  const run = RunConfigSchema.parse({
    format: 'thaw.run/1',
    name: 'snow',
    seed: 5,
    data: { dataset: 'test', size: 16, channels: 3 },
    degradation: { family: 'snow', steps, level: 1, singleSnow: true, patternImages: 8 },
    network: { kind: 'convnext-unet', dim: 8, mults: [1] },
    optimizer: { learningRate: 0.001 },
    batch: { global: 8, micro: 2 },
    steps: 10,
  });
  const degradation = degradationOf(run);
  const rows = [0, 1, 2, 3].flatMap((lane) => {
    const vertical = trainingInputs(run, degradation, 3, lane, { images: new Uint8Array(2 * 768) })[
      'context/vertical'
    ]!;
    return [0, 1].map((row) => ({
      vertical: vertical.subarray(row * (steps + 1), (row + 1) * (steps + 1)) as Float32Array,
    }));
  });
  for (let s = 1; s <= steps; s++) expect(verticalAt(rows, s)).toBe(4);
});
