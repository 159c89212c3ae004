/** Samplers as processes: jobs are spread, any sampler answers for any job, equal bytes, and no job dies with a sampler. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { JobStatus } from '@thaw/sampler';
import { promote } from '@thaw/shared/storage';
import { callBytes, callJson, type ApiTarget } from '../../cli/cluster/api.js';
import type { Child } from '../../cli/cluster/children.js';
import { evaluateCheckpoint, type EvaluateOptions } from '../../cli/commands/evaluate.js';
import { ProcessCluster, smallRun, token, until } from './cluster.fixture.js';

let cluster: ProcessCluster;
let samplers: Child[];
const at = (child: Child): ApiTarget => ({ url: String(child.ready.listening), token });

const submit = (child: Child, request: object): Promise<JobStatus> =>
  callJson<JobStatus>(at(child), '/v1/jobs', { json: request });
const whenDone = (child: Child, id: string): Promise<JobStatus> =>
  until(`job ${id} is done`, async () => {
    const status = await callJson<JobStatus>(at(child), `/v1/jobs/${id}?waitMs=2000`);
    if (status.state !== 'running' && status.state !== 'done')
      throw new Error(`job ${id} is ${status.state}: ${status.message}`);
    return status.state === 'done' ? status : undefined;
  });
const images = async (child: Child, status: JobStatus): Promise<string[]> =>
  Promise.all(
    status.rows.map(async ({ row }) =>
      Buffer.from(await callBytes(at(child), `/v1/jobs/${status.id}/images/${row}.png`)).toString('base64'),
    ),
  );
/** Rows of jobs whose results are in the store. */
const rowsStored = async (): Promise<number> => {
  let rows = 0;
  for await (const { key } of cluster.store.list('jobs/')) if (/\/\d+\.safetensors$/.test(key)) rows++;
  return rows;
};
const ready = (child: Child): Promise<boolean> =>
  until('a sampler is ready', async () => (await fetch(`${String(child.ready.listening)}/readyz`)).ok);

beforeAll(async () => {
  cluster = await ProcessCluster.create(smallRun({ steps: 10, checkpoint: { everySteps: 10 } }));
  await cluster.start('coordinator');
  const trainer = await cluster.start('trainer');
  await until('a checkpoint', () => cluster.hasCheckpoint(10));
  await trainer.stop();
  samplers = await Promise.all([cluster.start('sampler'), cluster.start('sampler')]);
  await Promise.all(samplers.map(ready));
});
afterAll(() => cluster?.close());

test('a job sent to one sampler is computed by both, and both answer for it with the same bytes', async () => {
  const [first, second] = samplers as [Child, Child];
  const sent = await submit(first, { mode: 'sample', count: 24, seed: 7 });
  const status = await whenDone(second, sent.id);
  const bytes = await images(first, status);
  expect(await images(second, status)).toEqual(bytes);
  expect(new Set(bytes).size).toBeGreaterThan(12);
  const again = await submit(second, { mode: 'sample', count: 24, seed: 7 });
  expect(await images(second, await whenDone(first, again.id))).toEqual(bytes);
  for (const child of samplers) expect(await cluster.metric(child, 'thaw_sampler_row_steps_total')).toBeGreaterThan(0);
});

test('one image alone has the bytes that it has in a batch', async () => {
  const [first, second] = samplers as [Child, Child];
  const batch = await whenDone(first, (await submit(first, { mode: 'sample', count: 5, seed: 3 })).id);
  const alone = await whenDone(second, (await submit(second, { mode: 'sample', count: 1, seed: 3 })).id);
  expect((await images(second, alone))[0]).toBe((await images(first, batch))[0]);
});

test('weights whose bytes do not match their hash are never served', async () => {
  const [first] = samplers as [Child];
  await expect(
    promote(cluster.store, 'latest', { run: 'small', step: 999 }, { actor: 'test', timeMs: 1 }),
  ).rejects.toMatchObject({
    code: 'THAW_CHECKPOINT_NOT_FOUND',
  });
  await expect(submit(first, { mode: 'sample', version: 999 })).rejects.toMatchObject({ httpStatus: 404 });
  const answer = await fetch(`${String(first.ready.listening)}/v1/jobs`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{}',
  });
  expect(answer.status).toBe(401);
});

test('an evaluation on samplers, one of them killed on the way, gives the report of this process, bit for bit', async () => {
  const [, second] = samplers as [Child, Child];
  const doomed = await cluster.start('sampler');
  await ready(doomed);
  const question: EvaluateOptions = {
    ...{ storeUrl: cluster.storeUrl, checkpoint: 'small/10', split: 'train', count: 96, metrics: 'rmse,ssim,psnr,l1' },
    ...{ sampler: 'algorithm2', seed: 3, engine: 'onnx-cpu', batch: 8, convention: 'official' },
  };
  const before = await rowsStored();
  // Counted by the process itself: stored rows are removed as soon as they are fetched.
  const computed = (): Promise<number> => cluster.metric(doomed, 'thaw_sampler_row_steps_total');
  const computedBefore = await computed();
  const evaluating = evaluateCheckpoint({ ...question, samplers: () => [at(doomed), at(second)] });
  await until('some of its rows', async () => (await computed()) > computedBefore);
  await cluster.kill(doomed);
  const { report } = await evaluating;
  expect(report).toEqual((await evaluateCheckpoint(question)).report);
  expect(report.count).toBe(96);
  expect(await rowsStored()).toBe(before); // what was fetched is removed
  await expect(
    evaluateCheckpoint({ ...question, samplers: () => [{ ...at(second), token: 'not the token at all' }] }),
  ).rejects.toMatchObject({ code: 'THAW_UNAUTHORIZED' });
});

test('a sampler killed with jobs of its own: the other finishes all of them', async () => {
  const [first, second] = samplers as [Child, Child];
  const jobs = await Promise.all(
    [1, 2, 3, 4].map((seed) => submit(first, { mode: 'sample', count: 16, seed: 100 + seed })),
  );
  await cluster.kill(first);
  const statuses = await Promise.all(jobs.map(({ id }) => whenDone(second, id)));
  expect(statuses.map(({ done, count }) => done === count)).toEqual([true, true, true, true]);
  const undisturbed = await whenDone(second, (await submit(second, { mode: 'sample', count: 16, seed: 101 })).id);
  expect(await images(second, statuses[0]!)).toEqual(await images(second, undisturbed));
});
