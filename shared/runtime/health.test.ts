import { describe, expect, it } from 'vitest';
import { EventLoopProgress, Health, Progress } from './health.js';

describe('Health', () => {
  it('is live and ready by kind, with reasons', () => {
    const health = new Health();
    let connected = false;
    health.register('broker', 'ready', () => (connected ? { ok: true } : { ok: false, reason: 'No broker.' }));
    health.register('state', 'live', () => ({ ok: true }));
    expect(health.report(0)).toEqual({
      live: true,
      ready: false,
      checks: [
        { name: 'broker', kind: 'ready', ok: false, reason: 'No broker.' },
        { name: 'state', kind: 'live', ok: true },
      ],
    });
    connected = true;
    expect(health.report(0).ready).toBe(true);
    health.register('state', 'live', () => ({ ok: false, reason: 'Stuck.' }));
    expect(health.report(0)).toMatchObject({ live: false, ready: false });
  });
});

describe('Progress', () => {
  it('fails when nothing happened for too long, not while paused', () => {
    const progress = new Progress({ what: 'No step was completed', limitMs: 1000, nowMs: 0 });
    expect(progress.check(1000).ok).toBe(true);
    expect(progress.check(2500)).toEqual({ ok: false, reason: 'No step was completed for 2.5 s (limit 1.0 s).' });
    progress.mark(2500);
    expect(progress.check(3500).ok).toBe(true);
    progress.pause('The run is complete.');
    expect(progress.check(99_999)).toEqual({ ok: true, reason: 'The run is complete.' });
    progress.resume(100_000);
    expect([progress.check(101_000).ok, progress.check(101_001).ok]).toEqual([true, false]);
  });
});

describe('EventLoopProgress', () => {
  it('fails while the loop stands and for a while after it has recovered', () => {
    const loop = new EventLoopProgress({ intervalMs: 100, limitMs: 1000, windowMs: 5000, nowMs: 0 });
    loop.beat(100);
    expect(loop.check(1200).ok).toBe(true);
    expect(loop.check(1201).ok).toBe(false);
    loop.beat(3000);
    expect(loop.check(3050)).toMatchObject({ ok: false, reason: expect.stringContaining('2.8 s') as string });
    for (let at = 3100; at <= 8000; at += 100) loop.beat(at);
    expect([loop.check(8000).ok, loop.check(8001).ok]).toEqual([false, true]);
  });
});
