import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CallSchedule } from './schedule.js';

describe('CallSchedule', () => {
  it('gives calls in order to workers that are ready', () => {
    const schedule = new CallSchedule<string>(2);
    schedule.submit('a');
    schedule.submit('b');
    schedule.submit('c');
    expect(schedule.assign()).toEqual([]);
    schedule.ready(1);
    expect(schedule.assign()).toEqual([{ worker: 1, call: 'a' }]);
    schedule.ready(0);
    expect(schedule.assign()).toEqual([{ worker: 0, call: 'b' }]);
    expect(schedule.settled(1)).toBe('a');
    expect(schedule.assign()).toEqual([{ worker: 1, call: 'c' }]);
  });

  it('drops an aborted call that waits and discards the result of one that runs', () => {
    const schedule = new CallSchedule<string>(1);
    schedule.ready(0);
    schedule.submit('runs');
    schedule.submit('waits');
    schedule.submit('next');
    schedule.assign();
    schedule.abort('waits');
    schedule.abort('runs');
    expect(schedule.assign()).toEqual([]);
    expect(schedule.settled(0)).toBeUndefined();
    expect(schedule.assign()).toEqual([{ worker: 0, call: 'next' }]);
  });

  it('restarts a worker that had been ready, and gives up one that never was', () => {
    const schedule = new CallSchedule<string>(2);
    schedule.ready(0);
    schedule.submit('a');
    schedule.submit('b');
    schedule.assign();
    expect(schedule.lost(0)).toEqual({ lost: 'a', restart: true, stranded: [] });
    expect(schedule.lost(1)).toEqual({ lost: undefined, restart: false, stranded: [] });
    expect(schedule.usable).toBe(true);
    expect(schedule.lost(0)).toEqual({ lost: undefined, restart: false, stranded: ['b'] });
    expect(schedule.usable).toBe(false);
  });

  it('answers every call exactly once, whatever happens', () => {
    const event = fc.oneof(
      fc.constant('submit' as const),
      fc.constantFrom('ready', 'settled', 'lost').chain((kind) => fc.nat(2).map((worker) => ({ kind, worker }))),
      fc.nat(30).map((call) => ({ kind: 'abort', call })),
    );
    fc.assert(
      fc.property(fc.array(event, { maxLength: 80 }), (events) => {
        const schedule = new CallSchedule<number>(3);
        const state: ('starting' | 'idle' | 'busy' | 'dead')[] = ['starting', 'starting', 'starting'];
        const answered = new Map<number, string>();
        const answer = (call: number | undefined, how: string): void => {
          if (call === undefined) return;
          expect(answered.has(call)).toBe(false);
          answered.set(call, how);
        };
        let calls = 0;
        for (const happening of events) {
          if (happening === 'submit') {
            if (schedule.usable) schedule.submit(calls++);
          } else if ('call' in happening) {
            if (happening.call < calls && !answered.has(happening.call)) {
              schedule.abort(happening.call);
              answer(happening.call, 'aborted');
            }
          } else {
            const { kind, worker } = happening;
            if (kind === 'ready' && state[worker] === 'starting') {
              schedule.ready(worker);
              state[worker] = 'idle';
            }
            if (kind === 'settled' && state[worker] === 'busy') {
              answer(schedule.settled(worker), 'settled');
              state[worker] = 'idle';
            }
            if (kind === 'lost' && state[worker] !== 'dead') {
              const loss = schedule.lost(worker);
              answer(loss.lost, 'lost');
              for (const call of loss.stranded) answer(call, 'stranded');
              expect(loss.restart).toBe(state[worker] !== 'starting');
              state[worker] = loss.restart ? 'starting' : 'dead';
            }
          }
          for (const { worker } of schedule.assign()) {
            expect(state[worker]).toBe('idle');
            state[worker] = 'busy';
          }
          expect(schedule.queued > 0 && state.includes('idle')).toBe(false);
        }
      }),
    );
  });
});
