import { afterEach, describe, expect, it } from 'vitest';
import type { Program } from '../types.js';
import { WorkerPool } from './io/pool.js';
import { SharedPool } from './pool-share.js';

// A worker that answers [thread id, first fixed weight of the program, programs that it holds]; it waits where it gets a gate.
const behaviour = `
  import { parentPort, threadId, workerData } from 'node:worker_threads';
  const held = new Map();
  if (workerData.broken) throw new Error('no such library');
  parentPort.on('message', (m) => {
    if (m.type === 'close') parentPort.close();
    if (m.type === 'load') { held.set(m.program.digest, m.fixedWeights); parentPort.postMessage({ type: 'loaded', digest: m.program.digest }); }
    if (m.type === 'unload') held.delete(m.digest);
    if (m.type !== 'run') return;
    const [gate] = m.inputs;
    if (gate) Atomics.wait(gate, 0, 0);
    parentPort.postMessage({ type: 'done', call: m.call, outputs: [Float32Array.of(threadId, held.get(m.digest)[0].values[0], held.size)] });
  });
  parentPort.postMessage({ type: 'ready', library: 'Fake 1.0' });
`;
const workerFile = new URL(`data:text/javascript,${encodeURIComponent(behaviour)}`);
const program: Program = {
  name: 'fake',
  onnx: new Uint8Array(0),
  weights: [],
  prepared: [],
  inputs: [],
  outputs: [],
  digest: 'abc',
  resultDigest: 'abc',
  loweringVersion: 1,
  blockedConv: false,
};
const fixed = (value: number) => [
  { weight: { name: 'w', shape: [1], permutation: [0], size: 1 }, values: Float32Array.of(value) },
];

let opened: WorkerPool[] = [];
const sharing = (broken = false): SharedPool<Program> =>
  new SharedPool(() => {
    const pool = new WorkerPool({ workers: 1, workerFile, settings: { broken } });
    opened.push(pool);
    return pool;
  });
const call = { program, weights: [], inputs: [] };

describe('SharedPool', () => {
  afterEach(async () => {
    await Promise.all(opened.map((pool) => pool.close()));
    opened = [];
  });

  it('gives all shares one thread, each with its own programs, and a new thread after the last was closed', async () => {
    const shared = sharing();
    const [{ pool: first, library }, { pool: second }] = [await shared.share(), await shared.share()];
    expect(library).toBe('Fake 1.0');
    await first.load(program, fixed(1));
    await second.load(program, fixed(2));
    const [[a], [b]] = [await first.run(call), await second.run(call)];
    expect([a![1], b![1]]).toEqual([1, 2]);
    expect(a![0]).toBe(b![0]);
    await first.close();
    await expect(first.run(call)).rejects.toMatchObject({ code: 'THAW_ENGINE_CLOSED' });
    await expect(first.load(program)).rejects.toMatchObject({ code: 'THAW_ENGINE_CLOSED' });
    expect([...(await second.run(call))[0]!]).toEqual([a![0], 2, 1]);
    await second.close();
    const { pool: third } = await shared.share();
    await third.load(program, fixed(3));
    const [c] = await third.run(call);
    expect(c![1]).toBe(3);
    expect(c![0]).not.toBe(a![0]);
    expect(opened).toHaveLength(2);
  });

  it('rejects the calls of a share that closes, and no others', async () => {
    const shared = sharing();
    const [{ pool: first }, { pool: second }] = [await shared.share(), await shared.share()];
    await first.load(program, fixed(1));
    await second.load(program, fixed(2));
    const gate = new Int32Array(new SharedArrayBuffer(4));
    const own = [first.run({ ...call, inputs: [gate] }), first.run(call)].map((running) =>
      expect(running).rejects.toMatchObject({ code: 'THAW_ENGINE_CLOSED' }),
    );
    const other = second.run(call);
    await first.close();
    await Promise.all(own);
    Atomics.store(gate, 0, 1);
    Atomics.notify(gate, 0);
    expect((await other)[0]![1]).toBe(2);
  });

  it('says why no thread becomes ready, and tries anew the next time', async () => {
    const shared = sharing(true);
    for (let again = 1; again <= 2; again++) {
      await expect(shared.share()).rejects.toMatchObject({
        code: 'THAW_ENGINE_WORKER_LOST',
        cause: { message: 'no such library' },
      });
      expect(opened).toHaveLength(again);
    }
  });
});
