import { RunConfigSchema, type SliceDigest } from '@thaw/shared/protocol';
import { silentLogger, VirtualClock } from '@thaw/shared/runtime';
import {
  checkpointKey,
  createRun,
  encodeSlice,
  loadRun,
  MemoryStore,
  readManifest,
  splitIntoSlices,
  writeSlice,
  type RunState,
  type StateTensor,
} from '@thaw/shared/storage';
import { beforeEach, expect, test } from 'vitest';
import type { CoordinatorEffect } from '../lead/index.js';
import { Lineage } from './lineage.js';
import { LossHistory } from './loss-history.js';

let store: MemoryStore;
const floats = (step: number): StateTensor => ({ dtype: 'F32', shape: [2], data: Float32Array.of(step, 1) });
const stateOf = (step: number): RunState => ({
  ...{ step, epoch: 0, stepOfEpoch: step, beta1Product: 1, beta2Product: 1, historyDigest: 'ab'.repeat(32) },
  skippedInARow: 0,
  tensors: {
    'weights/w': floats(step),
    'ema/w': floats(step),
    'adam.m/w': floats(step),
    'adam.v/w': floats(step),
    'exponents/w': { dtype: 'I8', shape: [1], data: Int8Array.of(-7) },
  },
});
const commitOf = async (step: number): Promise<Extract<CoordinatorEffect, { kind: 'commitManifest' }>> => {
  const slices: SliceDigest[] = [];
  for (const slice of splitIntoSlices(stateOf(step), 1)) {
    const { index, sha256, bytes } = await writeSlice(store, encodeSlice(slice));
    slices.push({ slice: index, sha256, bytes });
  }
  const { historyDigest, beta1Product, beta2Product, skippedInARow } = stateOf(step);
  const head = { step, historyDigest, beta1Product, beta2Product, skippedInARow };
  return { kind: 'commitManifest', head, fingerprint: 'f', slices };
};
const coordinator = async (): Promise<Lineage> =>
  new Lineage({
    store,
    run: await loadRun(store, 'small'),
    dataset: { name: 'digits', sha256: 'd'.repeat(64) },
    clock: new VirtualClock(),
    logger: silentLogger,
  });
const parentOf = async (step: number) => (await readManifest(store, 'small', step)).manifest.parent;

beforeEach(async () => {
  store = new MemoryStore();
  const run = RunConfigSchema.parse({
    format: 'thaw.run/1',
    name: 'small',
    seed: 1,
    data: { dataset: 'digits', size: 16, channels: 1 },
    degradation: { family: 'blur', steps: 4, routine: 'Constant', kernelSize: 5, kernelStd: 1 },
    network: { kind: 'convnext-unet', dim: 8, mults: [1, 2], residual: true, zeroInitLast: true },
    batch: { global: 8, micro: 2 },
    optimizer: { learningRate: 0.001 },
    ema: { decay: 0.9, every: 1, startStep: 5 },
    checkpoint: { everySteps: 10 },
    steps: 60,
  });
  await createRun(store, run);
});

test('a new leader names as parent what the one before committed, not what there was when it began to stand by', async () => {
  const [first, standby] = [await coordinator(), await coordinator()];
  expect(await standby.newestStep()).toBeNull();
  await first.commit(await commitOf(10));
  await first.commit(await commitOf(20));
  standby.expire();
  expect(await standby.newestStep()).toBe(20);
  await standby.commit(await commitOf(30));
  const { manifestSha256 } = await readManifest(store, 'small', 20);
  expect(await parentOf(30)).toEqual({ run: 'small', step: 20, manifestSha256 });
});

test('nothing is committed as long as the store does not say what there is; then it is asked again', async () => {
  const lineage = await coordinator();
  const list = store.list.bind(store);
  store.list = () => {
    throw new Error('down');
  };
  const effect = await commitOf(10);
  await expect(lineage.commit(effect)).rejects.toThrow('down');
  expect(await store.head(checkpointKey('small', 10))).toBeUndefined();
  store.list = list;
  await lineage.commit(effect);
  expect(await parentOf(10)).toBeNull();
});

test('the loss curve survives a change of leader, and a part that cannot be read costs that part only', async () => {
  const point = (step: number) => ({ step, loss: step / 10, imagesPerSecond: null });
  const [first, standby] = [0, 1].map(() => new LossHistory(store, 'small', silentLogger)) as [
    LossHistory,
    LossHistory,
  ];
  for (const step of [0, 1, 2, 3]) first.add(point(step));
  for (const step of [2, 3, 4, 5]) standby.add(point(step));
  await first.save(4);
  await standby.save(4);
  expect(await standby.load(100)).toEqual([0, 1, 2, 3].map(point));
  standby.savedByOthers(4);
  standby.add(point(6));
  await standby.save(7);
  await store.put('runs/small/history/0000000099.json', new TextEncoder().encode('[[7,'));
  expect(await standby.load(6)).toEqual([0, 1, 2, 3, 4, 5].map(point));
});
