import { expect, it } from 'vitest';
import { centredInterval, middle, resample } from './index.js';

it('draws the same units for the same seed, and centres what is biased', () => {
  expect(resample(50, 3, 4)).toEqual(resample(50, 3, 4));
  expect(resample(50, 3, 4)).not.toEqual(resample(50, 3, 5));
  const values = Array.from({ length: 1000 }, (_, i) => 10 + i / 1000);
  expect(middle(values)).toEqual({ low: 10.025, high: 10.975 });
  const { low, high } = centredInterval(8, values);
  expect([low, high]).toEqual([expect.closeTo(7.5255, 3), expect.closeTo(8.4755, 3)]);
});
