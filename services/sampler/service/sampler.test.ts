import { afterEach, describe, expect, it } from 'vitest';
import { decodeSafetensors, MemoryStore } from '@thaw/shared/storage';
import type { JobSpec } from '@thaw/shared/protocol';
import { jobKeys, parseJobRequest } from '../jobs/index.js';
import { MemoryMeshHub } from '../mesh/index.js';
import type { StepRow } from '../ports.js';
import { FakeModels, startHarness, until, versionAt, type Harness, type HarnessOptions } from '../sampler.fixture.js';

const running: Harness[] = [];
const start = async (options: HarnessOptions = {}): Promise<Harness> => {
  const harness = await startHarness(options);
  running.push(harness);
  return harness;
};
afterEach(async () => {
  await Promise.all(running.splice(0).map((harness) => harness.close()));
});

const submit = (harness: Harness, body: Record<string, unknown>): Promise<JobSpec> =>
  harness.service.submit(parseJobRequest(body));
const finish = async (harness: Harness, spec: JobSpec): Promise<Buffer[]> => {
  const status = await harness.service.waitForEnd(spec.id, 50_000);
  expect(status).toMatchObject({ state: 'done', done: spec.count });
  return Promise.all(
    Array.from({ length: spec.count }, async (_, row) => Buffer.from(await harness.service.resultBytes(spec.id, row))),
  );
};

/** Calls that wait until they are let go, one at a time. */
function gatedCalls(): { gate: (rows: readonly StepRow[]) => Promise<void>; waiting: number[][]; release: () => void } {
  const waiting: number[][] = [];
  const resolvers: (() => void)[] = [];
  return {
    waiting,
    gate: (rows) => {
      waiting.push(rows.map((row) => row.severity));
      return new Promise((resolve) => resolvers.push(resolve));
    },
    release: () => resolvers.shift()?.(),
  };
}

describe('a sampler', () => {
  it('puts rows of three different severities into one call', async () => {
    const { gate, waiting, release } = gatedCalls();
    const sampler = await start({ gate });
    const jobs = [await submit(sampler, { seed: 1 })];
    await until(() => waiting.length === 1, 'first call');
    jobs.push(await submit(sampler, { seed: 2 }));
    await until(
      () => sampler.worker.held().filter(({ severity }) => severity !== undefined).length === 2,
      'second row',
    );
    release();
    await until(() => waiting.length === 2, 'second call');
    jobs.push(await submit(sampler, { seed: 3 }));
    await until(() => sampler.worker.held().filter(({ severity }) => severity !== undefined).length === 3, 'third row');
    release();
    await until(() => waiting.length === 3, 'third call');
    expect(waiting).toEqual([[6], [5, 6], [4, 5, 6]]);
    const letAll = setInterval(release, 1);
    for (const spec of jobs) await finish(sampler, spec);
    clearInterval(letAll);
  });

  it('gives the same bytes alone, in a crowd, and on another sampler', async () => {
    const asked = { count: 3, seed: 7 };
    const alone = await start();
    const expected = await finish(alone, await submit(alone, asked));
    const crowded = await start();
    const others = [
      await submit(crowded, { count: 5, seed: 1 }),
      await submit(crowded, { count: 4, seed: 2, sampler: 'algorithm1' }),
    ];
    const got = await finish(crowded, await submit(crowded, asked));
    for (const other of others) await finish(crowded, other);
    expect(got.map((bytes) => bytes.equals(expected[0]!))).toEqual([true, false, false]);
    expect(got).toEqual(expected);
    expect(Math.max(...crowded.calls.map((call) => call.severities.length))).toBe(4);
  });

  it('stores four images of each row, of the shape of the model', async () => {
    const sampler = await start();
    const [bytes] = await finish(sampler, await submit(sampler, { seed: 3 }));
    const { tensors } = decodeSafetensors(bytes!);
    expect(Object.keys(tensors).sort()).toEqual(['degraded', 'direct', 'original', 'sampled']);
    expect(tensors.sampled!.shape).toEqual([16, 16, 1]);
    expect(tensors.sampled!.data).not.toEqual(tensors.direct!.data);
  });

  it('keeps a running job on its version, and serves new jobs with the new head', async () => {
    const { gate, waiting, release } = gatedCalls();
    const sampler = await start({ gate });
    const before = await submit(sampler, { seed: 1 });
    await until(() => waiting.length === 1, 'first call');
    sampler.models.heads.set('latest', versionAt(4));
    await sampler.follower.look();
    const after = await submit(sampler, { seed: 1 });
    expect([before.version.step, after.version.step]).toEqual([3, 4]);
    const letAll = setInterval(release, 1);
    const [a, b] = [await finish(sampler, before), await finish(sampler, after)];
    clearInterval(letAll);
    expect(a).not.toEqual(b);
    expect(
      sampler.calls.some((call) => call.version.step === 3) && sampler.calls.some((call) => call.version.step === 4),
    ).toBe(true);
  });

  it('never serves a head that does not verify', async () => {
    const sampler = await start();
    sampler.models.corrupt.add(5);
    sampler.models.heads.set('latest', versionAt(5));
    await sampler.follower.look();
    expect(sampler.follower.current?.step).toBe(3);
    expect(sampler.follower.problem?.code).toBe('THAW_BLOB_CORRUPT');
    expect((await submit(sampler, {})).version.step).toBe(3);
    await expect(submit(sampler, { version: 5 })).rejects.toMatchObject({ code: 'THAW_BLOB_CORRUPT' });
    sampler.models.heads.set('latest', versionAt(6));
    await sampler.follower.look();
    expect([sampler.follower.current?.step, sampler.follower.problem]).toEqual([6, undefined]);
  });

  it('waits for a first version and says so', async () => {
    const models = new FakeModels();
    models.heads.clear();
    const sampler = await start({ models });
    expect(sampler.follower.problem?.code).toBe('THAW_MODEL_NOT_READY');
    await expect(submit(sampler, {})).rejects.toMatchObject({ code: 'THAW_MODEL_NOT_READY' });
    await expect(submit(sampler, { channel: 'stable' })).rejects.toMatchObject({ code: 'THAW_CHANNEL_NOT_FOUND' });
    models.heads.set('stable', versionAt(8));
    expect((await submit(sampler, { channel: 'stable' })).version.step).toBe(8);
  });

  it('refuses what does not fit its queue, and takes it again later', async () => {
    const { gate, release } = gatedCalls();
    const sampler = await start({ gate, maxQueuedRows: 4 });
    const first = await submit(sampler, { count: 3 });
    await expect(submit(sampler, { count: 2 })).rejects.toMatchObject({
      code: 'THAW_QUEUE_FULL',
      details: { retryAfterSeconds: 5 },
    });
    const letAll = setInterval(release, 1);
    await finish(sampler, first);
    await finish(sampler, await submit(sampler, { count: 2 }));
    clearInterval(letAll);
  });

  it('stops a cancelled job within one call and leaves nothing open', async () => {
    const { gate, waiting, release } = gatedCalls();
    const sampler = await start({ gate });
    const spec = await submit(sampler, { count: 2 });
    await until(() => waiting.length === 1, 'first call');
    expect((await sampler.service.cancel(spec.id)).state).toBe('cancelled');
    expect(sampler.worker.held()).toEqual([]);
    release();
    await until(() => sampler.calls.length === 1, 'end of the call');
    expect(waiting).toHaveLength(1);
    await expect(sampler.service.result(spec.id, 0)).rejects.toMatchObject({ code: 'THAW_JOB_ENDED' });
    expect(await sampler.jobs.openJobs()).toEqual([]);
    expect(sampler.service.queuedRows).toBe(0);
  });

  it('gives up a job whose deadline passed', async () => {
    const { gate, release } = gatedCalls();
    const sampler = await start({ gate });
    const spec = await submit(sampler, { deadlineMs: 150 });
    const status = await sampler.service.waitForEnd(spec.id, 50_000);
    expect(status).toMatchObject({ state: 'expired', code: 'THAW_DEADLINE_EXPIRED' });
    await expect(sampler.service.result(spec.id, 0)).rejects.toMatchObject({ code: 'THAW_DEADLINE_EXPIRED' });
    release();
  });

  it('tries a failed row again, and ends a job that fails again and again', async () => {
    let failures = 1;
    const sampler = await start({
      gate: () => {
        if (failures-- > 0) throw new Error('the engine stumbled');
      },
    });
    await finish(sampler, await submit(sampler, {}));
    failures = Infinity;
    const spec = await submit(sampler, {});
    const status = await sampler.service.waitForEnd(spec.id, 50_000);
    expect(status).toMatchObject({ state: 'failed', code: 'THAW_INTERNAL', message: 'the engine stumbled' });
    failures = 0;
    await finish(sampler, await submit(sampler, {}));
  });
});

describe('samplers together', () => {
  const pair = async (options: HarnessOptions = {}): Promise<[Harness, Harness]> => {
    const shared = { store: new MemoryStore(), hub: new MemoryMeshHub(), ...options };
    return [await start({ ...shared, name: 'sampler-a' }), await start({ ...shared, name: 'sampler-b' })];
  };
  const reference = async (body: Record<string, unknown>): Promise<Buffer[]> => {
    const alone = await start();
    return finish(alone, await submit(alone, body));
  };

  it('share the rows of a job, and each answers for all of it', async () => {
    const [a, b] = await pair();
    const spec = await submit(a, { count: 8, seed: 5 });
    expect(await finish(b, spec)).toEqual(await reference({ count: 8, seed: 5 }));
    expect(a.calls.length).toBeGreaterThan(0);
    expect(b.calls.length).toBeGreaterThan(0);
    await until(async () => (await a.jobs.openJobs()).length === 0, 'end of the job');
  });

  it('hand everything over when one leaves, and give the same bytes', async () => {
    const body = { count: 6, seed: 5 };
    let slow = true;
    const [a, b] = await pair({ gate: () => (slow ? new Promise((resolve) => setTimeout(resolve, 10)) : undefined) });
    const spec = await submit(a, body);
    await until(() => a.calls.length >= 2 && b.calls.length >= 1, 'work on both');
    await a.close();
    running.splice(running.indexOf(a), 1);
    const callsOfA = a.calls.length;
    slow = false;
    expect(await finish(b, spec)).toEqual(await reference(body));
    expect(a.calls.length).toBe(callsOfA);
    const handedOver: string[] = [];
    for await (const { key } of b.store.list(`jobs/${spec.id}/handoff/`)) handedOver.push(key);
    expect(handedOver.length).toBeGreaterThan(0);
    await expect(submit(a, {})).rejects.toMatchObject({ code: 'THAW_DRAINING' });
  });

  it('finish the rows of one that fell silent', async () => {
    const body = { count: 6, seed: 9 };
    const store = new MemoryStore();
    const hub = new MemoryMeshHub();
    const stuck = gatedCalls();
    const a = await start({ store, hub, name: 'sampler-a', detectionMs: 1000 });
    const b = await startHarness({ store, hub, name: 'sampler-b', detectionMs: 1000, gate: stuck.gate });
    const spec = await submit(a, body);
    await until(() => stuck.waiting.length === 1, 'rows on the one that will die');
    await b.mesh.close(); // nobody hears of it any more
    expect(await finish(a, spec)).toEqual(await reference(body));
    expect(stuck.waiting).toHaveLength(1);
    stuck.release();
    await b.close();
  });

  it('adopt the jobs that a dead sampler had accepted', async () => {
    const store = new MemoryStore();
    const writer = await start({ store, name: 'sampler-0', detectionMs: 300 });
    const template = await submit(writer, { count: 2, seed: 4 });
    const expected = await finish(writer, template);
    await writer.close();
    running.splice(running.indexOf(writer), 1);
    // What is left of a job whose keeper died right after accepting it.
    const orphan: JobSpec = { ...template, id: 'd'.repeat(32) };
    await writer.jobs.create(orphan, 'sampler-dead');
    const heir = await start({ store, name: 'sampler-heir', detectionMs: 300 });
    await until(async () => (await store.head(jobKeys.end(orphan.id))) !== undefined, 'adoption');
    expect(await finish(heir, orphan)).toEqual(expected);
    expect(await heir.jobs.openJobs()).toEqual([]);
  });

  it('go on without the mesh: a sampler that nobody answers computes its rows itself', async () => {
    const hub = new MemoryMeshHub();
    const join = hub.join.bind(hub);
    hub.join = () => ({ ...join(), offer: async () => Promise.reject(new Error('no broker')) });
    const sampler = await start({ hub });
    await finish(sampler, await submit(sampler, { count: 2 }));
  });
});

describe('evaluation', () => {
  const request = { run: 'demo', step: 3, split: 'test', count: 20 };

  it('scores a checkpoint, stores scores and picture, and answers the same question from the store', async () => {
    const hub = new MemoryMeshHub();
    const sampler = await start({ hub });
    const announced: unknown[] = [];
    hub.onEvaluation((result) => announced.push(result));
    const result = await hub.evaluate(request);
    expect(announced).toEqual([result]);
    expect(result.l1.ratio).toBeCloseTo(
      result.l1.sampled / Math.min(result.l1.degraded, result.l1.black, result.l1.mean),
      12,
    );
    expect(result.l1.sampled).toBeLessThan(result.l1.degraded);
    expect(result.rmse.mean).toBeGreaterThan(result.l1.mean);
    const stored = await sampler.store.get('runs/demo/evaluations/00000003.json');
    expect(JSON.parse(Buffer.from(stored!.bytes).toString())).toEqual(result);
    const picture = await sampler.store.get('runs/demo/evaluations/00000003.png');
    expect([...picture!.bytes.subarray(1, 4)]).toEqual([...Buffer.from('PNG')]);
    const calls = sampler.calls.length;
    expect(await hub.evaluate(request)).toEqual(result);
    expect(sampler.calls.length).toBe(calls);
  });

  it('lets users pass', async () => {
    const hub = new MemoryMeshHub();
    const { gate, waiting, release } = gatedCalls();
    const sampler = await start({ hub, gate, batchSizes: [2] });
    const evaluation = hub.evaluate(request);
    await until(() => waiting.length === 1, 'evaluation');
    const spec = await submit(sampler, { count: 2, severity: 3, calls: 1 });
    await until(
      () =>
        sampler.worker.held().filter(({ key, severity }) => key.startsWith(spec.id) && severity !== undefined)
          .length === 2,
      'rows',
    );
    const letAll = setInterval(release, 1);
    await finish(sampler, spec);
    // Twenty evaluation rows wait since before; the users' rows are in the next call.
    expect(waiting[1]).toEqual([3, 3]);
    await evaluation;
    clearInterval(letAll);
    expect(sampler.calls.length).toBeGreaterThanOrEqual(60);
  });

  it('refuses a checkpoint that does not exist and more images than there are', async () => {
    const hub = new MemoryMeshHub();
    await start({ hub });
    await expect(hub.evaluate({ ...request, step: 999 })).rejects.toMatchObject({ code: 'THAW_CHECKPOINT_NOT_FOUND' });
    await expect(hub.evaluate({ ...request, count: 101 })).rejects.toMatchObject({ code: 'THAW_JOB_INVALID' });
  });
});
