import { describe, expect, it } from 'vitest';
import { sleep } from './clock.js';
import { VirtualClock } from './virtual-clock.js';

describe('VirtualClock', () => {
  it('fires timers in order of due time, ties in order of setting, at their due time', () => {
    const clock = new VirtualClock();
    const seen: string[] = [];
    const at = (delayMs: number, name: string) => clock.setTimer(delayMs, () => seen.push(`${name}@${clock.nowMs()}`));
    at(30, 'c');
    at(10, 'a');
    at(30, 'd');
    at(20, 'b');
    clock.advance(29);
    expect(seen).toEqual(['a@10', 'b@20']);
    clock.advance(1);
    expect(seen).toEqual(['a@10', 'b@20', 'c@30', 'd@30']);
  });

  it('fires timers that timers set within the same advance, and none that were cancelled', () => {
    const clock = new VirtualClock({ startMs: 5 });
    const seen: number[] = [];
    const cancelled = clock.setTimer(15, () => seen.push(-1));
    clock.setTimer(10, () => {
      seen.push(clock.nowMs());
      cancelled.cancel();
      clock.setTimer(10, () => seen.push(clock.nowMs()));
    });
    clock.advance(100);
    expect(seen).toEqual([15, 25]);
    expect([clock.nowMs(), clock.pendingCount]).toEqual([105, 0]);
  });

  it('keeps its order with many timers', () => {
    const clock = new VirtualClock();
    const delays = Array.from({ length: 500 }, (_, i) => (i * 7919) % 101);
    const seen: { due: number; i: number }[] = [];
    delays.forEach((due, i) => clock.setTimer(due, () => seen.push({ due, i })));
    clock.runUntilIdle();
    expect(seen).toEqual(delays.map((due, i) => ({ due, i })).sort((a, b) => a.due - b.due || a.i - b.i));
  });

  it('gives up on timers that never end', () => {
    const clock = new VirtualClock();
    const again = (): void => void clock.setTimer(1, again);
    again();
    expect(() => clock.runUntilIdle(100)).toThrow('not idle');
  });

  it('moves wall and monotonic time together; sleep follows it and its signal', async () => {
    const clock = new VirtualClock({ wallTimeMs: 1000 });
    const order: string[] = [];
    const slept = sleep(clock, 50).then(() => order.push('slept'));
    const stop = new AbortController();
    const stopped = sleep(clock, 80, stop.signal).catch((reason: unknown) => order.push(String(reason)));
    await clock.advanceAsync(60);
    stop.abort('stopped');
    await Promise.all([slept, stopped]);
    expect(order).toEqual(['slept', 'stopped']);
    expect([clock.wallTimeMs(), clock.nowMs(), clock.pendingCount]).toEqual([1060, 60, 0]);
  });
});
