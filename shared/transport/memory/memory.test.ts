import { VirtualClock } from '@thaw/shared/runtime';
import { describe, expect, it } from 'vitest';
import { MemoryBroker, seededFaults } from './index.js';

const bytes = (text: string): Uint8Array => Buffer.from(text);
const text = (b: Uint8Array): string => Buffer.from(b).toString();

/** One sender, one receiver, 200 messages under faults; what arrived, and when. */
function run(seed: number): { got: string[]; atMs: number[] } {
  const clock = new VirtualClock();
  const broker = new MemoryBroker(clock, {
    latencyMs: 1,
    faults: seededFaults({ seed, lossRate: 0.1, duplicateRate: 0.1, minDelayMs: 0, maxDelayMs: 20 }),
  });
  const [a, b] = [broker.connectBulk({ name: 'a' }), broker.connectBulk({ name: 'b' })];
  const got: string[] = [];
  const atMs: number[] = [];
  b.subscribe('x.*', (subject) => {
    got.push(subject);
    atMs.push(clock.nowMs());
  });
  for (let i = 0; i < 200; i++) clock.setTimer(i * 0.7, () => a.publish(`x.${i}`, [bytes('payload')]));
  clock.runUntilIdle();
  return { got, atMs };
}

describe('MemoryBroker', () => {
  it('loses, doubles and delays by seed, replays to the letter, and never reorders one sender', () => {
    const first = run(5);
    expect(run(5)).toEqual(first);
    expect(run(6)).not.toEqual(first);
    const numbers = first.got.map((s) => Number(s.slice(2)));
    expect(numbers).toEqual([...numbers].sort((x, y) => x - y));
    const distinct = new Set(numbers).size;
    expect(distinct).toBeGreaterThan(150);
    expect(distinct).toBeLessThan(200); // some lost
    expect(numbers.length).toBeGreaterThan(distinct); // some doubled
    expect(Math.max(...first.atMs)).toBeGreaterThan(140);
  });

  it('makes a later message of the same sender wait behind a delayed one, and no other', () => {
    const clock = new VirtualClock();
    const broker = new MemoryBroker(clock, { faults: ({ subject }) => ({ delayMs: subject === 'slow' ? 100 : 0 }) });
    const [a, b, c] = ['a', 'b', 'c'].map((name) => broker.connectControl({ name }));
    const got: [string, number][] = [];
    c!.subscribe('>', (m) => got.push([text(m), clock.nowMs()]));
    a!.publish('slow', bytes('a1'));
    a!.publish('fast', bytes('a2'));
    b!.publish('fast', bytes('b1'));
    clock.runUntilIdle();
    expect(got).toEqual([
      ['b1', 0],
      ['a1', 100],
      ['a2', 100],
    ]);
  });

  it('holds what a paused receiver would get and delivers it in order when it goes on', () => {
    const clock = new VirtualClock();
    const broker = new MemoryBroker(clock);
    const [a, b] = [broker.connectControl({ name: 'a' }), broker.connectControl({ name: 'b' })];
    const got: string[] = [];
    b.subscribe('x', (m) => got.push(text(m)));
    broker.pause('b');
    for (const m of ['1', '2', '3']) a.publish('x', bytes(m));
    clock.advance(1000);
    expect(got).toEqual([]);
    broker.resume('b');
    expect(got).toEqual(['1', '2', '3']);
  });

  it('tells the watchers of a killed link, which itself hears nothing more', () => {
    const clock = new VirtualClock();
    const broker = new MemoryBroker(clock, { latencyMs: 5 });
    const [a, b] = [broker.connectControl({ name: 'a' }), broker.connectBulk({ name: 'b' })];
    const notices: string[] = [];
    broker.onDisconnect(({ clientName }) => notices.push(clientName));
    const got: string[] = [];
    b.subscribe('x', (s) => got.push(s));
    a.publish('x', bytes('in flight'));
    broker.kill('b');
    clock.advance(4);
    expect(notices).toEqual([]);
    clock.advance(1);
    expect(notices).toEqual(['b']);
    a.publish('x', bytes('later'));
    b.publish('x', [bytes('from the dead')]);
    clock.runUntilIdle();
    expect(got).toEqual([]);
    expect(a.status).toBe('connected');
  });

  it('loses what is on its way when the broker dies, and fails pending requests at once', async () => {
    const clock = new VirtualClock();
    const broker = new MemoryBroker(clock, { latencyMs: 5 });
    const [a, b] = [broker.connectControl({ name: 'a' }), broker.connectControl({ name: 'b' })];
    const seen: string[] = [];
    a.onStatus((s) => seen.push(s));
    const got: string[] = [];
    b.subscribe('x', (m) => got.push(text(m)));
    b.serve('ask', (m) => m);
    const request = a.request('ask', bytes('?'), { timeoutMs: 1000 });
    a.publish('x', bytes('lost'));
    broker.stop();
    await expect(request).rejects.toMatchObject({ code: 'THAW_TRANSPORT_UNAVAILABLE' });
    await expect(a.request('ask', bytes('?'), { timeoutMs: 1000 })).rejects.toMatchObject({
      code: 'THAW_TRANSPORT_UNAVAILABLE',
    });
    a.publish('x', bytes('dropped'));
    expect(() => broker.connectControl({ name: 'c' })).toThrow('stopped');
    broker.start();
    a.publish('x', bytes('kept'));
    clock.runUntilIdle();
    expect(got).toEqual(['kept']);
    expect(seen).toEqual(['disconnected', 'reconnected']);
  });

  it('times a request out on the clock', async () => {
    const clock = new VirtualClock();
    const broker = new MemoryBroker(clock);
    const [a, b] = [broker.connectControl({ name: 'a' }), broker.connectControl({ name: 'b' })];
    b.serve('slow', () => new Promise<Uint8Array>(() => undefined));
    const request = a.request('slow', bytes(''), { timeoutMs: 250 });
    const settled = expect(request).rejects.toMatchObject({ code: 'THAW_TRANSPORT_TIMEOUT' });
    await clock.advanceAsync(250);
    await settled;
    expect(clock.pendingCount).toBe(0);
  });

  it('opens the window again after one latency', async () => {
    const clock = new VirtualClock();
    const broker = new MemoryBroker(clock, { latencyMs: 3 });
    const a = broker.connectBulk({ name: 'a', windowBytes: 100 });
    await a.drained();
    a.publish('x', [new Uint8Array(101)]);
    let open = false;
    void a.drained().then(() => (open = true));
    await clock.advanceAsync(2);
    expect(open).toBe(false);
    await clock.advanceAsync(1);
    expect(open).toBe(true);
  });
});
