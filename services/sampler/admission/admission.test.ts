import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { noDrain, refusal, retryAfterSeconds, rowFinished, rowsPerSecond, type DrainRate } from './index.js';

const limits = { maxQueuedRows: 10 };
const drained = (times: readonly number[]): DrainRate => times.reduce(rowFinished, noDrain);

describe('admission', () => {
  it('takes what fits and refuses what does not, with the time at which it will', () => {
    const drain = drained([1000, 1500, 2000, 2500, 3000]);
    const state = { queuedRows: 8, drain, draining: false };
    expect(refusal(state, limits, { rows: 2 }, 3000)).toBeUndefined();
    const full = refusal(state, limits, { rows: 6 }, 3000);
    expect(full?.code).toBe('THAW_QUEUE_FULL');
    // 5 rows in 2 s; 4 rows too many.
    expect(full?.details).toEqual({ retryAfterSeconds: 2 });
  });

  it('refuses a job that never fits as wrong, not as early', () => {
    expect(refusal({ queuedRows: 0, drain: noDrain, draining: false }, limits, { rows: 11 }, 0)?.code).toBe(
      'THAW_JOB_INVALID',
    );
  });

  it('refuses expired deadlines, and everything while draining', () => {
    const state = { queuedRows: 0, drain: noDrain, draining: false };
    expect(refusal(state, limits, { rows: 1, deadlineMs: 0 }, 0)?.code).toBe('THAW_DEADLINE_EXPIRED');
    expect(refusal(state, limits, { rows: 1, deadlineMs: 1 }, 0)).toBeUndefined();
    expect(refusal({ ...state, draining: true }, limits, { rows: 1 }, 0)?.code).toBe('THAW_DRAINING');
  });

  it('forgets finished rows after the window', () => {
    const drain = drained([0, 100, 200]);
    expect(rowsPerSecond(drain, 1000)).toBe(3);
    expect(rowsPerSecond(drain, 10_150)).toBeCloseTo(1 / 9.95, 6);
    expect(rowsPerSecond(drain, 20_000)).toBeUndefined();
  });

  it('never takes more rows than the limit, and Retry-After is a bounded whole number', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ rows: fc.integer({ min: 1, max: 15 }), finish: fc.nat(5), gapMs: fc.nat(4000) }), {
          maxLength: 60,
        }),
        (arrivals) => {
          let queuedRows = 0;
          let drain = noDrain;
          let nowMs = 0;
          for (const { rows, finish, gapMs } of arrivals) {
            nowMs += gapMs;
            for (let i = 0; i < finish && queuedRows > 0; i++) {
              queuedRows--;
              drain = rowFinished(drain, nowMs);
            }
            const state = { queuedRows, drain, draining: false };
            if (refusal(state, limits, { rows }, nowMs) === undefined) queuedRows += rows;
            expect(queuedRows).toBeLessThanOrEqual(limits.maxQueuedRows);
            const seconds = retryAfterSeconds(state, limits, rows, nowMs);
            expect(Number.isInteger(seconds) && seconds >= 1 && seconds <= 120).toBe(true);
          }
        },
      ),
    );
  });
});
