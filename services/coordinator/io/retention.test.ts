import type { JobSpec } from '@thaw/shared/protocol';
import { silentLogger, VirtualClock } from '@thaw/shared/runtime';
import {
  jobSpecKey,
  listCheckpoints,
  loadCheckpoint,
  MemoryStore,
  openJobKey,
  promote,
  writeCheckpoint,
  type RunState,
  type StateTensor,
} from '@thaw/shared/storage';
import { beforeEach, expect, test } from 'vitest';
import { JobRetention } from './job-retention.js';
import { Retention, type RetentionOptions } from './retention.js';

const graceMs = 60_000;
let clock: VirtualClock;
let store: MemoryStore;
let warnings: string[];

const stateOf = (run: string, step: number): RunState => {
  const floats = (): StateTensor => ({ dtype: 'F32', shape: [2], data: Float32Array.of(step, run.length) });
  return {
    ...{ step, epoch: 0, stepOfEpoch: step, beta1Product: 1, beta2Product: 1, historyDigest: 'ab'.repeat(32) },
    skippedInARow: 0,
    tensors: {
      'weights/w': floats(),
      'ema/w': floats(),
      'adam.m/w': floats(),
      'adam.v/w': floats(),
      'exponents/w': { dtype: 'I8', shape: [1], data: Int8Array.of(-7) },
    },
  };
};
const write = (run: string, step: number) =>
  writeCheckpoint(
    store,
    {
      ...{ run, parent: null, configSha256: 'c'.repeat(64), fingerprint: 'f', createdMs: clock.wallTimeMs() },
      dataset: { name: 'digits', sha256: 'd'.repeat(64) },
    },
    stateOf(run, step),
    1,
  );
const stepsOf = async (run: string): Promise<number[]> => (await listCheckpoints(store, run)).map(({ step }) => step);
const retention = (changes: Partial<RetentionOptions> = {}): Retention => {
  const made = new Retention({
    ...{ run: 'small', store, clock, keepLast: 2, keepEverySteps: 0, graceMs, ...changes },
    logger: { ...silentLogger, warn: (message: string) => void warnings.push(message) },
  });
  made.leads(true);
  return made;
};
/** Tells of a commit and waits for what follows from it. */
async function commit(to: Retention): Promise<void> {
  to.committed();
  await to.idle();
}

beforeEach(async () => {
  clock = new VirtualClock();
  warnings = [];
  store = new MemoryStore({ wallTimeMs: () => clock.wallTimeMs() });
  for (const step of [10, 20, 30, 40, 50]) await write('small', step);
});

test('keeps the newest and every k-th; what stays can be loaded', async () => {
  clock.advance(graceMs);
  await commit(retention({ keepEverySteps: 20 }));
  expect(await stepsOf('small')).toEqual([20, 40, 50]);
  for (const step of [20, 40, 50])
    expect((await loadCheckpoint(store, 'small', step)).state).toEqual(stateOf('small', step));
  expect(warnings).toEqual([]);
});

test('keeps what a channel serves', async () => {
  await promote(store, 'stable', { run: 'small', step: 10 }, { actor: 'test', timeMs: 1 });
  clock.advance(graceMs);
  await commit(retention());
  expect(await stepsOf('small')).toEqual([10, 40, 50]);
});

test('keeps what an unfinished job is computed with: whoever takes it over must find it', async () => {
  const id = 'a'.repeat(32);
  const spec: JobSpec = {
    ...{ format: 'thaw.job/1', id, acceptedMs: 0, mode: 'sample', count: 1, seed: 0, degrade: true, severities: [1] },
    ...{ version: { run: 'small', step: 10, manifestSha256: 'e'.repeat(64) }, sampler: 'algorithm2' },
  };
  await store.put(jobSpecKey(id), new TextEncoder().encode(JSON.stringify(spec)));
  await store.put(openJobKey(id), new Uint8Array(1));
  clock.advance(graceMs);
  const made = retention();
  await commit(made);
  expect(await stepsOf('small')).toEqual([10, 40, 50]);
  await store.delete(openJobKey(id));
  clock.advance(graceMs);
  await commit(made);
  expect(await stepsOf('small')).toEqual([40, 50]);
});

test('old jobs are removed while the coordinator leads, an hour or a sixth of their time apart; none when told to keep them', async () => {
  const id = 'b'.repeat(32);
  const left = async (): Promise<boolean> => (await store.head(`jobs/${id}/0.safetensors`)) !== undefined;
  const jobs = (keepMs: number) => new JobRetention({ run: 'small', store, clock, logger: silentLogger, keepMs });
  const look = async (at: JobRetention): Promise<void> => {
    at.lookAfter();
    await at.idle();
  };
  await store.put(`jobs/${id}/0.safetensors`, new Uint8Array(1));
  const [often, never, stopped] = [jobs(6000), jobs(0), jobs(6000)];
  await stopped.stop();
  await look(often);
  clock.advance(5000 + 999);
  for (const each of [often, never, stopped]) await look(each);
  expect(await left()).toBe(true);
  clock.advance(1000);
  for (const idle of [never, stopped]) await look(idle);
  expect(await left()).toBe(true);
  await look(often);
  expect(await left()).toBe(false);
});

test('removes nothing of another run', async () => {
  for (const step of [1, 2, 3]) await write('other', step);
  clock.advance(graceMs);
  await commit(retention());
  expect(await stepsOf('small')).toEqual([40, 50]);
  expect(await stepsOf('other')).toEqual([1, 2, 3]);
  for (const step of [1, 2, 3])
    expect((await loadCheckpoint(store, 'other', step)).state).toEqual(stateOf('other', step));
});

test('removes nothing younger than the grace period', async () => {
  clock.advance(graceMs - 1);
  await commit(retention());
  expect(await stepsOf('small')).toEqual([10, 20, 30, 40, 50]);
});

test('removes nothing when it does not lead, when told to keep all, and after it was stopped', async () => {
  clock.advance(graceMs);
  const standby = retention();
  standby.leads(false);
  const stopped = retention();
  await stopped.stop();
  for (const idle of [standby, stopped, retention({ keepLast: 0 })]) await commit(idle);
  expect(await stepsOf('small')).toEqual([10, 20, 30, 40, 50]);
});

test('collects again only after a sixth of the grace period', async () => {
  const often = retention();
  await commit(often);
  clock.advance(graceMs / 6 - 1);
  const listed: string[] = [];
  const list = store.list.bind(store);
  store.list = (prefix) => {
    listed.push(prefix);
    return list(prefix);
  };
  await commit(often);
  expect(listed).toEqual([]);
  clock.advance(1);
  await commit(often);
  expect(listed.length).toBeGreaterThan(0);
});

test('a store that fails is a warning, and the next time it is tried again', async () => {
  clock.advance(graceMs);
  const list = store.list.bind(store);
  store.list = () => {
    throw new Error('down');
  };
  const made = retention();
  await commit(made);
  expect(warnings).toEqual(['Old checkpoints could not be removed']);
  store.list = list;
  clock.advance(graceMs / 6);
  await commit(made);
  expect(await stepsOf('small')).toEqual([40, 50]);
});
