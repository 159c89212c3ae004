import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { batchingAfter, emptyBatching, nextBatch, paddedSize, type BatchingState, type BatchRow } from './index.js';

const row = (key: string, fields: Partial<BatchRow> = {}): Omit<BatchRow, 'inFlight'> => ({
  key,
  versionKey: 'v1',
  priority: 'user',
  dueByMs: 1000,
  arrival: 0,
  ...fields,
});
const entered = (...rows: Omit<BatchRow, 'inFlight'>[]): BatchingState =>
  rows.reduce((state, next) => batchingAfter(state, { type: 'entered', row: next }), emptyBatching);
const upTo = (size: number) => (): number => size;

describe('batching', () => {
  it('takes the earliest deadlines first, users before evaluations', () => {
    const state = entered(
      row('late', { dueByMs: 9 }),
      row('evaluation', { dueByMs: 0, priority: 'evaluation' }),
      row('second', { dueByMs: 5, arrival: 2 }),
      row('first', { dueByMs: 5, arrival: 1 }),
    );
    expect(nextBatch(state, upTo(3)).batch?.keys).toEqual(['first', 'second', 'late']);
    expect(nextBatch(state, upTo(4)).batch?.keys).toEqual(['first', 'second', 'late', 'evaluation']);
  });

  it('does not mix versions, and lets the most urgent row choose', () => {
    const state = entered(
      row('a', { dueByMs: 2 }),
      row('b', { versionKey: 'v2', dueByMs: 1 }),
      row('c', { dueByMs: 3 }),
    );
    const first = nextBatch(state, upTo(8));
    expect(first.batch).toEqual({ versionKey: 'v2', keys: ['b'] });
    expect(nextBatch(first.state, upTo(8)).batch).toEqual({ versionKey: 'v1', keys: ['a', 'c'] });
  });

  it('gives no call when nothing is due', () => {
    expect(nextBatch(emptyBatching, upTo(8)).batch).toBeUndefined();
    const busy = nextBatch(entered(row('a')), upTo(8)).state;
    expect(nextBatch(busy, upTo(8)).batch).toBeUndefined();
  });

  it('never puts a row into two calls, whatever enters, returns and leaves', () => {
    const event = fc.record({
      kind: fc.constantFrom('enter', 'leave', 'call', 'return'),
      pick: fc.nat(9),
      version: fc.constantFrom('v1', 'v2'),
    });
    fc.assert(
      fc.property(fc.array(event, { maxLength: 80 }), (events) => {
        let state = emptyBatching;
        const calls: (readonly string[])[] = [];
        let arrival = 0;
        for (const { kind, pick, version } of events) {
          const key = `row${pick}`;
          if (kind === 'enter' && !state.rows.has(key) && !calls.flat().includes(key))
            state = batchingAfter(state, {
              type: 'entered',
              row: row(key, { versionKey: version, arrival: arrival++, dueByMs: pick }),
            });
          if (kind === 'leave') state = batchingAfter(state, { type: 'left', key });
          if (kind === 'return' && calls.length > 0)
            state = batchingAfter(state, { type: 'returned', keys: calls.shift()! });
          if (kind === 'call') {
            const next = nextBatch(state, upTo(3));
            state = next.state;
            if (next.batch === undefined) continue;
            expect(next.batch.keys.length).toBeGreaterThan(0);
            expect(next.batch.keys.length).toBeLessThanOrEqual(3);
            for (const chosen of next.batch.keys) {
              expect(calls.flat()).not.toContain(chosen);
              expect(state.rows.get(chosen)?.versionKey).toBe(next.batch.versionKey);
            }
            calls.push(next.batch.keys);
          }
        }
      }),
    );
  });

  it('pads to the smallest size that holds the rows', () => {
    expect([1, 2, 3, 8].map((rows) => paddedSize([2, 8], rows))).toEqual([2, 2, 8, 8]);
  });
});
