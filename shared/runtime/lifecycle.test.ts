import { describe, expect, it } from 'vitest';
import { Lifecycle } from './lifecycle.js';
import { silentLogger } from './logger.js';
import { VirtualClock } from './virtual-clock.js';

function make(deadlineMs = 1000) {
  const clock = new VirtualClock();
  const exits: number[] = [];
  const lifecycle = new Lifecycle({ clock, logger: silentLogger, deadlineMs, exit: (code) => exits.push(code) });
  return { clock, exits, lifecycle };
}
const never = new Promise<void>(() => {});

describe('Lifecycle', () => {
  it('stops in reverse order, one after the other, and exits 0', async () => {
    const { clock, exits, lifecycle } = make();
    const seen: string[] = [];
    lifecycle.onStop('store', () => void seen.push('store'));
    lifecycle.onStop('server', async (reason) => {
      seen.push(`server begins (${reason})`);
      await new Promise<void>((resolve) => clock.setTimer(10, resolve));
      seen.push('server ends');
    });
    expect(lifecycle.stopping.aborted).toBe(false);
    lifecycle.onSignal('SIGTERM');
    expect(lifecycle.stopping.aborted).toBe(true);
    await clock.advanceAsync(20);
    expect(seen).toEqual(['server begins (SIGTERM)', 'server ends', 'store']);
    expect(exits).toEqual([0]);
    expect(clock.pendingCount).toBe(0);
  });

  it('goes on after a step that fails, and exits 1', async () => {
    const { exits, lifecycle } = make();
    let reached = false;
    lifecycle.onStop('last', () => void (reached = true));
    lifecycle.onStop('first', () => Promise.reject(new Error('no')));
    await lifecycle.stop('done');
    expect([reached, exits]).toEqual([true, [1]]);
    expect((await lifecycle.drain('again')).steps.map(({ outcome }) => outcome)).toEqual(['failed', 'done']);
  });

  it('gives up at the deadline', async () => {
    const { clock, exits, lifecycle } = make(100);
    lifecycle.onStop('not reached', () => {});
    lifecycle.onStop('hangs', () => never);
    lifecycle.onSignal('SIGINT');
    await clock.advanceAsync(99);
    expect(exits).toEqual([]);
    await clock.advanceAsync(1);
    expect(exits).toEqual([1]);
    expect((await lifecycle.drain('')).steps.map(({ outcome }) => outcome)).toEqual(['late', 'not started']);
  });

  it('exits at once on the second signal', async () => {
    const { exits, lifecycle } = make();
    lifecycle.onStop('hangs', () => never);
    lifecycle.onSignal('SIGTERM');
    lifecycle.onSignal('SIGINT');
    expect(exits).toEqual([130]);
  });

  it('refuses steps after stopping has begun', async () => {
    const { lifecycle } = make();
    await lifecycle.drain('x');
    expect(() => lifecycle.onStop('late', () => {})).toThrow('late');
  });
});
