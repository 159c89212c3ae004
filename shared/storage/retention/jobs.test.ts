import type { JobSpec } from '../../protocol/index.js';
import { beforeEach, expect, test } from 'vitest';
import { MemoryStore } from '../store/index.js';
import { checkpointsOfOpenJobs, collectJobs, jobPrefix, jobSpecKey, openJobKey } from './index.js';

let nowMs: number;
let store: MemoryStore;
const ids = ['a', 'b', 'c', 'd'].map((digit) => digit.repeat(32)) as [string, string, string, string];
const put = (key: string, value: unknown = 'x') => store.put(key, new TextEncoder().encode(JSON.stringify(value)));
const specOf = (id: string, run: string): JobSpec => ({
  ...{ format: 'thaw.job/1', id, acceptedMs: 0, mode: 'sample', count: 1, seed: 0, degrade: true, severities: [1] },
  ...{ version: { run, step: 7, manifestSha256: 'e'.repeat(64) }, sampler: 'algorithm2' },
});
const job = async (id: string, run = 'small'): Promise<void> => {
  await put(jobSpecKey(id), specOf(id, run));
  for (const name of ['0.safetensors', 'states/0-00003.safetensors', 'end.json']) await put(`${jobPrefix(id)}${name}`);
};
const keys = async (): Promise<string[]> => {
  const found: string[] = [];
  for await (const { key } of store.list('')) found.push(key);
  return found;
};
const collect = (changes = {}) => collectJobs(store, { nowMs, keepMs: 1000, dryRun: false, ...changes });

beforeEach(() => {
  nowMs = 0;
  store = new MemoryStore({ wallTimeMs: () => nowMs });
});

test('a job goes when nothing of it was written for the time, as a whole, and nothing else does', async () => {
  for (const id of ids) await job(id);
  await put('runs/small/run.json');
  await put('jobs/notes.txt');
  nowMs = 500;
  await put(`${jobPrefix(ids[1])}0.safetensors`); // a late result
  await put(openJobKey(ids[2])); // still open
  nowMs = 999;
  expect(await collect()).toMatchObject({ removed: [], kept: 4 });
  nowMs = 1000;
  const left = (await keys()).filter((key) => !key.includes(ids[0]) && !key.includes(ids[3]));
  const before = await keys();
  const dry = await collect({ dryRun: true });
  expect(dry).toMatchObject({ dryRun: true, removed: [ids[0], ids[3]], removedObjects: 8, kept: 2 });
  expect(await keys()).toEqual(before);
  expect(await collect()).toEqual({ ...dry, dryRun: false });
  expect(await keys()).toEqual(left);
});

test('jobs of another run stay, and so does none that has lost its specification', async () => {
  await job(ids[0], 'other');
  await job(ids[1]);
  await job(ids[2]);
  await store.delete(jobSpecKey(ids[1]));
  await put(jobSpecKey(ids[2]), { torn: true });
  nowMs = 1000;
  expect((await collect({ run: 'small' })).removed).toEqual([ids[1], ids[2]]);
  expect((await collect()).removed).toEqual([ids[0]]);
});

test('a removal that stops on the way leaves no job with half its images, and the next one ends it', async () => {
  await job(ids[0]);
  nowMs = 1000;
  const remove = store.delete.bind(store);
  let allowed = 2;
  store.delete = async (key) => {
    if (allowed-- === 0) throw new Error('down');
    return remove(key);
  };
  await expect(collect()).rejects.toThrow('down');
  expect(await store.head(jobSpecKey(ids[0]))).toBeUndefined();
  store.delete = remove;
  expect((await collect({ run: 'small' })).removed).toEqual([ids[0]]);
  expect(await keys()).toEqual([]);
});

test('unfinished jobs name the checkpoints that they are computed with', async () => {
  await job(ids[0]);
  await job(ids[1], 'other');
  for (const id of [ids[1], ids[2]]) await put(openJobKey(id));
  await put('open-jobs/notes.txt');
  expect(await checkpointsOfOpenJobs(store)).toEqual([{ run: 'other', step: 7, reason: `job ${ids[1]} runs on it` }]);
});
