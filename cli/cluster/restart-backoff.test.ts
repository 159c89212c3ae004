import { expect, test } from 'vitest';
import { RestartBackoff } from './restart-backoff.js';

test('the first restart is at once, the next ones wait longer and longer, a long life clears the record', () => {
  const backoff = new RestartBackoff();
  expect([0, 1, 2, 3, 4, 5, 6, 7].map((second) => backoff.delayMs('trainer-0', second * 1000))).toEqual([
    0, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000,
  ]);
  expect(backoff.delayMs('trainer-1', 8000)).toBe(0);
  expect(backoff.delayMs('trainer-0', 100_000)).toBe(0);
});
