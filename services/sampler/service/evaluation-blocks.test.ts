import { afterEach, describe, expect, it } from 'vitest';
import type { Estimate, EstimateSource } from '@thaw/shared/evaluation';
import type { JobSpec } from '@thaw/shared/protocol';
import { checkpointsOfOpenJobs, MemoryStore } from '@thaw/shared/storage';
import { decodeEstimate, localEstimates } from '../evaluation/index.js';
import { jobKeys, parseJobRequest } from '../jobs/index.js';
import { MemoryMeshHub } from '../mesh/index.js';
import {
  fakeTestImages,
  FakeModels,
  openDoor,
  shape,
  startHarness,
  until,
  type Harness,
  type HarnessOptions,
} from '../sampler.fixture.js';

const running: Harness[] = [];
const start = async (options: HarnessOptions = {}): Promise<Harness> => {
  const harness = await startHarness(options);
  running.push(harness);
  return harness;
};
const pair = async (options: HarnessOptions = {}): Promise<[Harness, Harness]> => {
  const shared = { store: new MemoryStore(), hub: new MemoryMeshHub(), ...options };
  return [await start({ ...shared, name: 'sampler-a' }), await start({ ...shared, name: 'sampler-b' })];
};
afterEach(async () => {
  await Promise.all(running.splice(0).map((harness) => harness.close()));
});

const question = { run: 'demo', step: 4, split: 'test', sampler: 'algorithm2', seed: 5 } as const;
const block = {
  ...{ mode: 'evaluate', count: 12, run: 'demo', version: 4, sampler: 'algorithm2', seed: 5 },
  evaluation: {
    split: 'test',
    first: 3,
    manifestSha256: '4'.repeat(64),
    fingerprint: 'f'.repeat(64),
    key: '0'.repeat(32),
  },
};
const images = Array.from({ length: 12 }, (_, row) => 3 + row);
const send = (to: Harness, change: Record<string, unknown> = {}): Promise<JobSpec> =>
  to.service.submit(parseJobRequest({ ...block, ...change }));
const local = (): Promise<EstimateSource> => localEstimates(new FakeModels(), fakeTestImages, question);
const read = async (from: Harness, spec: JobSpec): Promise<Estimate[]> => {
  expect(await from.service.waitForEnd(spec.id, 50_000)).toMatchObject({ state: 'done', done: spec.count });
  const { severities } = spec;
  return Promise.all(
    images.map(async (image, row) =>
      decodeEstimate(await from.service.resultBytes(spec.id, row), { image, shape, severities }),
    ),
  );
};
const keys = async (store: Harness['store'], prefix: string): Promise<string[]> => {
  const found: string[] = [];
  for await (const { key } of store.list(prefix)) found.push(key);
  return found;
};

describe('a block of an evaluation', () => {
  it('has the estimates that are computed without a cluster, value by value, shared by two samplers', async () => {
    const [a, b] = await pair();
    const outlook = await a.outlook({ ...question });
    const { origin, available, blockSize } = await local();
    expect(outlook).toEqual({ origin, shape, available, blockSize, samplers: 2 });
    const spec = await send(a);
    expect(spec.severities).toEqual(origin.severities);
    expect(await read(b, spec)).toEqual(await (await local()).estimates(images));
    for (const sampler of [a, b]) expect(sampler.calls.length).toBeGreaterThan(0);
  });

  it('sent twice is one job, whichever sampler is asked', async () => {
    const [a, b] = await pair();
    const specs = await Promise.all([send(a), send(b), send(a)]);
    expect(new Set(specs.map(({ id }) => id)).size).toBe(1);
    await read(a, specs[0]!);
    expect((await send(b)).id).toBe(specs[0]!.id);
    expect(await keys(a.store, 'jobs/')).toHaveLength(13);
    expect((await send(a, { evaluation: { ...block.evaluation, key: '1'.repeat(32) } })).id).not.toBe(specs[0]!.id);
  });

  it('keeps its checkpoint until it is taken away, and leaves no estimate behind', async () => {
    const [a, b] = await pair();
    const spec = await send(a);
    await read(a, spec);
    await until(() => a.worker.held().length + b.worker.held().length === 0, 'the end of all rows');
    expect(await checkpointsOfOpenJobs(a.store)).toMatchObject([{ run: 'demo', step: 4 }]);
    expect((await b.service.cancel(spec.id)).state).toBe('cancelled');
    expect(await checkpointsOfOpenJobs(a.store)).toEqual([]);
    expect(await keys(a.store, 'jobs/')).toEqual([jobKeys.end(spec.id), jobKeys.spec(spec.id)]);
    expect((await send(a)).id).toBe(spec.id); // a request that comes late starts nothing
    expect((await b.service.cancel(spec.id)).state).toBe('cancelled');
    expect(a.worker.held()).toEqual([]);
  });

  it('is finished when a sampler dies in the middle, its rows begun again', async () => {
    let dies = false;
    const store = new MemoryStore();
    const hub = new MemoryMeshHub();
    const a = await start({ store, hub, name: 'sampler-a', detectionMs: 1000 });
    const b = await startHarness({
      ...{ store, hub, name: 'sampler-b', detectionMs: 1000 },
      gate: () => (dies ? new Promise(() => undefined) : undefined),
    });
    const first = await send(b);
    await until(() => b.calls.length >= 2, 'calls on the one that will die');
    dies = true;
    await b.mesh.close(); // kept the block, computed half of it, and is never heard again
    expect(await read(a, first)).toEqual(await (await local()).estimates(images));
  });

  it('is handed over without saved states when a sampler leaves', async () => {
    const gate = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));
    const [a, b] = await pair({ gate });
    const spec = await send(a);
    await until(() => a.calls.length >= 2 && b.calls.length >= 1, 'work on both');
    await a.close();
    running.splice(running.indexOf(a), 1);
    expect(await read(b, spec)).toEqual(await (await local()).estimates(images));
    expect((await keys(b.store, `jobs/${spec.id}/handoff/`)).length).toBe(0);
  });

  it('is computed by the samplers that have its bits, whichever keeps it, beside others that have not', async () => {
    const shared = { store: new MemoryStore(), hub: new MemoryMeshHub() };
    const a = await start({ ...shared, name: 'sampler-a' });
    const b = await start({ ...shared, name: 'sampler-b', fingerprint: 'e' });
    for (const [keeper, key] of [
      [a, '1'],
      [b, '2'],
    ] as const) {
      const evaluation = { ...block.evaluation, key: key.repeat(32) };
      const estimates = await (await local()).estimates(images);
      expect(await read(keeper, await send(keeper, { evaluation }))).toEqual(estimates);
    }
    expect(b.calls).toEqual([]);
  });

  it('ends with a sentence when no sampler that is heard has its bits', async () => {
    const shared = { store: new MemoryStore(), hub: new MemoryMeshHub(), fingerprint: 'e' };
    const a = await start({ ...shared, name: 'sampler-a' });
    await expect(send(a)).rejects.toMatchObject({
      code: 'THAW_FINGERPRINT_MISMATCH',
      message:
        'Sampler sampler-a would compute other bits than this evaluation: its fingerprint is eeeeeeeeeeee, that of the evaluation ffffffffffff.',
    });
    await start({ ...shared, name: 'sampler-b' });
    await until(() => a.service.samplers === 2, 'the other');
    const status = await a.service.waitForEnd((await send(a)).id, 50_000);
    expect(status).toMatchObject({ state: 'failed', code: 'THAW_FINGERPRINT_MISMATCH' });
    expect(status.message).toContain('would compute the bits of this evaluation, whose fingerprint is ffffffffffff');
    await until(async () => (await a.jobs.openJobs()).length === 0, 'its end');
  });

  it('lets users pass, and takes none of their places', async () => {
    const waiting: number[][] = [];
    const resolvers: (() => void)[] = [];
    const release = (): void => resolvers.shift()?.();
    const sampler = await start({
      ...{ batchSizes: [2], maxQueuedRows: 2, maxRows: 2 },
      gate: (rows) => {
        waiting.push(rows.map(({ severity }) => severity));
        return new Promise((resolve) => resolvers.push(resolve));
      },
    });
    await send(sampler, { count: 64 });
    await until(() => waiting.length === 1, 'the evaluation');
    expect(sampler.service.queuedRows).toBe(0);
    const spec = await sampler.service.submit(parseJobRequest({ count: 2, severity: 3, calls: 1 }));
    const rows = (): number =>
      sampler.worker.held().filter(({ key, severity }) => key.startsWith(spec.id) && severity !== undefined).length;
    await until(() => rows() === 2, 'rows of the user');
    const letAll = setInterval(release, 1);
    expect(await sampler.service.waitForEnd(spec.id, 50_000)).toMatchObject({ state: 'done' });
    expect(waiting[1]).toEqual([3, 3]);
    // Of 64 rows it holds 32 at once: others get the rest.
    expect(sampler.worker.held().length).toBeLessThanOrEqual(32);
    clearInterval(letAll);
    for (const { id } of await sampler.jobs.openJobs()) await sampler.service.cancel(id);
    while (resolvers.length > 0) release();
  });

  it('is refused with what is wrong, before anything is stored', async () => {
    const sampler = await start();
    const refused = async (change: Record<string, unknown>): Promise<string> =>
      (async () => send(sampler, change))().then(
        () => 'taken',
        ({ code, message }: { code: string; message: string }) => `${code}: ${message}`,
      );
    expect(await refused({ version: 999 })).toContain('THAW_CHECKPOINT_NOT_FOUND');
    expect(await refused({ version: undefined })).toContain('version: is needed for mode "evaluate"');
    expect(await refused({ evaluation: undefined })).toContain('evaluation: is needed for mode "evaluate"');
    expect(await refused({ mode: 'sample' })).toContain('evaluation: is for mode "evaluate" only');
    expect(await refused({ framesPerSecond: 5 })).toContain('framesPerSecond: is not for mode "evaluate"');
    expect(await refused({ count: 257 })).toContain('count: a block has at most 256 images');
    expect(await refused({ count: 98 })).toBe(
      'THAW_JOB_INVALID: count: images 3 to 100 were asked for; the split test of fake has 100.',
    );
    expect(await refused({ calls: 7 })).toContain('7 severities were asked for, the model has 6');
    const otherManifest = { ...block.evaluation, manifestSha256: '9'.repeat(64) };
    expect(await refused({ evaluation: otherManifest })).toContain('THAW_CHECKPOINT_INVALID: Step 4 of run demo');
    expect(await refused({ evaluation: { ...block.evaluation, first: -1 } })).toContain('evaluation.first');
    expect(await keys(sampler.store, '')).toEqual([]);
    await expect(sampler.outlook({ ...question, run: 'other', step: undefined })).rejects.toMatchObject({
      code: 'THAW_CHECKPOINT_NOT_FOUND',
    });
  });

  it('is asked for over HTTP by those who have the token', async () => {
    const door = await openDoor(await start());
    const answer = await door.call('/v1/estimates?run=demo&calls=2&seed=7');
    expect(await answer.json()).toMatchObject({
      origin: { run: 'demo', step: 9, severities: [6, 3], seed: 7, fingerprint: 'f'.repeat(64) },
      blockSize: 32,
      samplers: 1,
    });
    expect((await fetch(`${door.url}/v1/estimates?run=demo`)).status).toBe(401);
    expect(await (await door.call('/v1/estimates?run=demo&calls=many&sort=up')).json()).toMatchObject({
      code: 'THAW_JOB_INVALID',
      message: expect.stringMatching(/calls: .*Unrecognized key: "sort"/),
    });
    expect((await door.call('/v1/estimates?run=../x')).status).toBe(400);
    const sent = await door.call('/v1/jobs', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(block),
    });
    expect(sent.status).toBe(202);
    const { id } = (await sent.json()) as { id: string };
    await door.call(`/v1/jobs/${id}?waitMs=10000`);
    expect((await door.call(`/v1/jobs/${id}/images/0.png`)).headers.get('content-type')).toBe('image/png');
    expect(await (await door.call(`/v1/jobs/${id}`, { method: 'DELETE' })).json()).toMatchObject({
      state: 'cancelled',
    });
    expect((await door.call(`/v1/jobs/${id}/images/0.safetensors`)).status).toBe(410);
    await door.close();
  });
});
