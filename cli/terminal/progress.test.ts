import { expect, test } from 'vitest';
import { formatSeconds, progressLine } from './progress.js';

test('a progress line shows the share done and is cut to the terminal', () => {
  expect(progressLine({ done: 30, total: 60, text: 'step 30' }, 80)).toBe('[##########----------]  50 %  step 30');
  expect(progressLine({ done: 99, total: 60, text: '' }, 80)).toContain('100 %');
  expect(progressLine({ done: 0, total: 0, text: 'x'.repeat(100) }, 40)).toHaveLength(40);
});

test('durations read as a person says them', () => {
  expect([3.4, 185, 7800, NaN].map(formatSeconds)).toEqual(['3 s', '3 min 5 s', '2 h 10 min', 'unknown']);
});
