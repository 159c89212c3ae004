import { afterEach, describe, expect, it } from 'vitest';
import type { Program, TensorData } from '../../types.js';
import { WorkerPool } from './pool.js';

// A worker without ONNX Runtime. inputs[0][0] says what to do; it answers [thread id, that number, weights received].
const behaviour = `
  import { parentPort, threadId, workerData } from 'node:worker_threads';
  let programs = 0;
  if (workerData.provider === 'broken') process.exit(3);
  parentPort.on('message', (m) => {
    if (m.type === 'close') { parentPort.close(); return; }
    if (m.type === 'load') {
      if (m.program.name === 'bad') parentPort.postMessage({ type: 'load-failed', digest: m.program.digest, problem: 'This is an invalid model. In Node, ("Conv2D.3/Mulx.7", Mulx, "", -1)' });
      else { programs++; parentPort.postMessage({ type: 'loaded', digest: m.program.digest }); }
      return;
    }
    if (m.type !== 'run') return;
    const what = m.inputs[0][0];
    if (what === 2) process.exit(1);
    if (what === 4) throw new Error('out of luck');
    if (what === 3) { parentPort.postMessage({ type: 'failed', call: m.call, problem: "Non-zero status code returned while running Mul node. Name:'Softmax.12/Mul.4' Status Message: broken" }); return; }
    if (what === 5) { const gate = m.inputs[1]; Atomics.add(gate, 1, 1); Atomics.notify(gate, 1); Atomics.wait(gate, 0, 0); }
    parentPort.postMessage({ type: 'done', call: m.call, outputs: [Float32Array.of(threadId, what, m.weights ? 1 : 0, programs)] });
  });
  parentPort.postMessage({ type: 'ready' });
`;
const workerFile = new URL(`data:text/javascript,${encodeURIComponent(behaviour)}`);
const program: Program = {
  name: 'fake',
  onnx: new Uint8Array(0),
  weights: [{ name: 'w', shape: [2], permutation: [0], size: 2 }],
  prepared: [],
  inputs: [],
  outputs: [],
  digest: 'abc',
  resultDigest: 'abc',
  loweringVersion: 1,
  blockedConv: false,
};
const weights = [new Float32Array(new SharedArrayBuffer(8))];

let pool: WorkerPool;
const open = (workers: number, provider = 'fake'): WorkerPool =>
  (pool = new WorkerPool({ workers, workerFile, settings: { provider } }));
const call = (
  what: number,
  extra: { signal?: AbortSignal; version?: string; gate?: Int32Array; weights?: Float32Array[] } = {},
) =>
  pool.run({
    program,
    weights,
    inputs: [Float32Array.of(what), ...(extra.gate ? [extra.gate] : [])] as TensorData[],
    ...extra,
  });
const gateOf = (): Int32Array => new Int32Array(new SharedArrayBuffer(8));
const entered = async (gate: Int32Array, count: number): Promise<void> => {
  while (Atomics.load(gate, 1) < count) await new Promise((resolve) => setImmediate(resolve));
};
const openGate = (gate: Int32Array): void => {
  Atomics.store(gate, 0, 1);
  Atomics.notify(gate, 0);
};

describe('WorkerPool', () => {
  afterEach(() => pool.close());

  it('spreads calls over its workers and queues the rest', async () => {
    open(2);
    await pool.load(program);
    const gate = gateOf();
    const calls = [call(5, { gate }), call(5, { gate }), call(1)];
    await entered(gate, 2);
    openGate(gate);
    const threads = (await Promise.all(calls)).map((outputs) => outputs[0]![0]);
    expect(threads[0]).not.toBe(threads[1]);
  });

  it('replaces a worker that ends, fails its call with a code and loads the programs again', async () => {
    open(1);
    await pool.load(program);
    const before = (await call(1))[0]!;
    const lost = call(2);
    const next = call(1);
    await expect(lost).rejects.toMatchObject({ code: 'THAW_ENGINE_WORKER_LOST' });
    const after = (await next)[0]!;
    expect(after[0]).not.toBe(before[0]);
    expect(after[3]).toBe(1);
    await expect(call(4)).rejects.toThrow(/out of luck/);
    expect((await call(1))[0]![1]).toBe(1);
  });

  it('gives up workers that never become ready', async () => {
    open(2, 'broken');
    await expect(pool.load(program)).rejects.toMatchObject({ code: 'THAW_ENGINE_WORKER_LOST' });
    await expect(call(1)).rejects.toMatchObject({ code: 'THAW_ENGINE_WORKER_LOST' });
  });

  it('names the tfjs operation in failures', async () => {
    open(1);
    await expect(pool.load({ ...program, name: 'bad', digest: 'bad' })).rejects.toMatchObject({
      code: 'THAW_ENGINE_FAILED',
      details: { kernel: 'Conv2D', program: 'bad' },
    });
    await pool.load(program);
    await expect(call(3)).rejects.toThrow("running program 'fake' failed in the tfjs operation Softmax");
    expect((await call(1))[0]![1]).toBe(1);
  });

  it('cancels: before, while waiting, while running', async () => {
    open(1);
    await pool.load(program);
    await expect(call(1, { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'THAW_ENGINE_ABORTED' });
    const gate = gateOf();
    const [running, waiting] = [new AbortController(), new AbortController()];
    const first = call(5, { gate, signal: running.signal });
    const second = call(2, { signal: waiting.signal });
    await entered(gate, 1);
    waiting.abort();
    await expect(second).rejects.toMatchObject({ code: 'THAW_ENGINE_ABORTED' });
    running.abort();
    await expect(first).rejects.toMatchObject({ code: 'THAW_ENGINE_ABORTED' });
    openGate(gate);
    expect((await call(1))[0]![1]).toBe(1);
  });

  it('sends weights again only when their version or arrays change', async () => {
    open(1);
    await pool.load(program);
    const sent = async (version: string | undefined, arrays: Float32Array[] = weights): Promise<number> =>
      (await call(1, { weights: arrays, ...(version !== undefined && { version }) }))[0]![2]!;
    expect([
      await sent('1'),
      await sent('1'),
      await sent('2'),
      await sent(undefined),
      await sent('2'),
      await sent('2'),
    ]).toEqual([1, 0, 1, 1, 1, 0]);
    expect(await sent('2', [new Float32Array(2)])).toBe(1);
  });

  it('rejects what waits when it closes, lets what runs finish, and takes nothing after', async () => {
    open(1);
    await pool.load(program);
    const gate = gateOf();
    const running = call(5, { gate });
    const waiting = call(1);
    await entered(gate, 1);
    const closing = pool.close();
    await expect(waiting).rejects.toMatchObject({ code: 'THAW_ENGINE_CLOSED' });
    openGate(gate);
    expect((await running)[0]![1]).toBe(5);
    await closing;
    await expect(call(1)).rejects.toMatchObject({ code: 'THAW_ENGINE_CLOSED' });
    await expect(pool.load(program)).rejects.toMatchObject({ code: 'THAW_ENGINE_CLOSED' });
  });
});
