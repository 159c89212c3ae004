import { expect, test } from 'vitest';
import { thinPoints } from './thin-points.js';
import type { StepPoint } from './status.js';

const curve = (count: number): StepPoint[] =>
  Array.from({ length: count }, (_, step) => ({ step, loss: step % 10 === 3 ? null : step, imagesPerSecond: 8 }));

test('a short curve stays as it is', () => {
  expect(thinPoints(curve(50), 50)).toEqual(curve(50));
  expect(thinPoints([], 50)).toEqual([]);
});

test('a long one becomes means of neighbours, in order, with the newest point as it is', () => {
  for (const count of [51, 99, 1000, 12_345]) {
    const thinned = thinPoints(curve(count), 50);
    expect(thinned.length).toBeLessThanOrEqual(50);
    expect(thinned.length).toBeGreaterThan(20);
    expect(thinned.at(-1)).toEqual(curve(count).at(-1));
    const steps = thinned.map(({ step }) => step);
    expect(steps).toEqual([...new Set(steps)].sort((a, b) => a - b));
  }
  expect(thinPoints(curve(9), 5)).toEqual([
    { step: 1, loss: 0.5, imagesPerSecond: 8 },
    { step: 3, loss: 2, imagesPerSecond: 8 },
    { step: 5, loss: 4.5, imagesPerSecond: 8 },
    { step: 7, loss: 6.5, imagesPerSecond: 8 },
    { step: 8, loss: 8, imagesPerSecond: 8 },
  ]);
});

test('a group of skipped steps has no loss', () => {
  const skipped = curve(9).map((point) => ({ ...point, loss: null }));
  expect(thinPoints(skipped, 5).every(({ loss }) => loss === null)).toBe(true);
});
