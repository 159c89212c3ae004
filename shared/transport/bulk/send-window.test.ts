import { describe, expect, it } from 'vitest';
import { SendWindow } from './send-window.js';

describe('SendWindow', () => {
  it('wakes every waiter once the pending bytes fit, and not before', async () => {
    const window = new SendWindow(10);
    window.add(10);
    await window.drained();
    window.add(5);
    const woken: number[] = [];
    const waits = [1, 2].map((i) => window.drained().then(() => woken.push(i)));
    window.settle(4);
    await Promise.resolve();
    expect(woken).toEqual([]);
    window.settle(1);
    await Promise.all(waits);
    expect(woken).toEqual([1, 2]);
    expect(window.pendingBytes).toBe(10);
  });

  it('lets everybody go when the link ends', async () => {
    const window = new SendWindow(0);
    window.add(1 << 20);
    const wait = window.drained();
    window.clear();
    await wait;
    expect(window.pendingBytes).toBe(0);
  });
});
