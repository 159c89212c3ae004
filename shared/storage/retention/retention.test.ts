import { describe, expect, test } from 'vitest';
import { blobKey, blobPrefix, putBlob } from '../blobs/index.js';
import { promote, recordKey } from '../channels/index.js';
import {
  encodeSlice,
  listCheckpoints,
  loadCheckpoint,
  splitIntoSlices,
  writeCheckpoint,
  writeSlice,
} from '../checkpoints/index.js';
import { fields, smallState } from '../checkpoints/state.fixture.js';
import { MemoryStore } from '../store/index.js';
import { chooseRetained, collectGarbage } from './index.js';

const at = (...steps: number[]) =>
  steps.map((step) => ({ run: 'trial', step, metrics: { loss: Math.abs(step - 25) } }));
const steps = (items: readonly { step: number }[]): number[] => items.map(({ step }) => step).sort((a, b) => a - b);

describe('the choice of what to keep', () => {
  test('keeps the newest, every k-th, the best, and what is pinned, with reasons', () => {
    const policy = { keepLast: 2, keepEvery: 30, keepBest: { metric: 'loss', count: 1, order: 'lowest' } } as const;
    const pinned = [{ run: 'trial', step: 10, reason: 'served by channel stable' }];
    const { keep, remove } = chooseRetained(at(10, 20, 26, 30, 40, 50, 60, 70), policy, pinned);
    expect(steps(keep.map(({ checkpoint }) => checkpoint))).toEqual([10, 26, 30, 60, 70]);
    expect(steps(remove)).toEqual([20, 40, 50]);
    expect(keep.find(({ checkpoint }) => checkpoint.step === 10)?.reasons).toEqual(['served by channel stable']);
    expect(keep.find(({ checkpoint }) => checkpoint.step === 60)?.reasons).toEqual([
      'one of the newest',
      'a multiple of 30 steps',
    ]);
  });

  test('each run by itself, and never without any checkpoint', () => {
    const all = [...at(1, 2, 3), { run: 'other', step: 1 }];
    const { keep, remove } = chooseRetained(all, { keepLast: 0 });
    expect(keep.map(({ checkpoint: { run, step } }) => [run, step])).toEqual([
      ['trial', 3],
      ['other', 1],
    ]);
    expect(steps(remove)).toEqual([1, 2]);
  });

  test('a checkpoint without the metric is not among the best', () => {
    const policy = { keepLast: 1, keepBest: { metric: 'loss', count: 5, order: 'highest' } } as const;
    const { remove } = chooseRetained(
      [
        { run: 'a', step: 1 },
        { run: 'a', step: 2, metrics: { loss: NaN } },
        { run: 'a', step: 3 },
      ],
      policy,
    );
    expect(steps(remove)).toEqual([1, 2]);
  });
});

describe('garbage collection', () => {
  const options = { policy: { keepLast: 1 }, graceMs: 1000, dryRun: false };

  /** A store whose clock the test moves, with checkpoints of steps 10, 20, 30 and a blob that nothing names. */
  async function setUp() {
    let nowMs = 0;
    const store = new MemoryStore({ wallTimeMs: () => nowMs });
    for (const step of [10, 20, 30]) await writeCheckpoint(store, fields, smallState(step), 2);
    const stray = await putBlob(store, new Uint8Array([1, 2, 3]));
    return { store, stray, setTime: (ms: number) => void (nowMs = ms) };
  }
  const blobs = async (store: MemoryStore): Promise<number> => {
    let count = 0;
    for await (const _ of store.list(blobPrefix)) count += 1;
    return count;
  };

  test('removes what nothing names, and what it keeps can be loaded', async () => {
    const { store, stray } = await setUp();
    const report = await collectGarbage(store, { ...options, nowMs: 2000 });
    expect(steps(report.removedCheckpoints)).toEqual([10, 20]);
    expect(report.removedBlobs).toHaveLength(5);
    expect(report.removedBlobs).toContain(stray);
    expect(report.keptBlobs).toBe(2);
    expect(steps(await listCheckpoints(store, 'trial'))).toEqual([30]);
    expect((await loadCheckpoint(store, 'trial', 30)).state).toEqual(smallState(30));
    expect(await blobs(store)).toBe(2);
  });

  test('a dry run says the same and does nothing', async () => {
    const { store } = await setUp();
    const dry = await collectGarbage(store, { ...options, nowMs: 2000, dryRun: true });
    expect(await blobs(store)).toBe(7);
    expect(await listCheckpoints(store, 'trial')).toHaveLength(3);
    const wet = await collectGarbage(store, { ...options, nowMs: 2000 });
    expect({ ...dry, dryRun: false }).toEqual(wet);
  });

  test('touches nothing younger than the grace period', async () => {
    const { store } = await setUp();
    const report = await collectGarbage(store, { ...options, nowMs: 999 });
    expect(report).toMatchObject({ removedCheckpoints: [], removedBlobs: [], keptBlobs: 7 });
  });

  test('keeps what channels serve or can go back to, and their evidence', async () => {
    const { store, stray } = await setUp();
    for (const step of [10, 20])
      await promote(store, 'stable', { run: 'trial', step }, { actor: 'x', timeMs: step, evidence: stray });
    const report = await collectGarbage(store, { ...options, nowMs: 2000 });
    expect(report).toMatchObject({ removedCheckpoints: [], removedBlobs: [] });
    const shallow = await collectGarbage(store, { ...options, nowMs: 2000, rollbackDepth: 0 });
    expect(steps(shallow.removedCheckpoints)).toEqual([10]);
    expect(shallow.removedBlobs).not.toContain(stray);
  });

  test('keeps what it is told is in use', async () => {
    const { store, stray } = await setUp();
    const inUse = [{ run: 'trial', step: 10, reason: 'job 7' }];
    const report = await collectGarbage(store, { ...options, nowMs: 2000, inUse, blobsInUse: [stray] });
    expect(steps(report.removedCheckpoints)).toEqual([20]);
    expect(report.removedBlobs).toHaveLength(2);
  });

  test('a blob that a writer finds and names anew while a collection runs stays', async () => {
    const { store, setTime } = await setUp();
    const slice = encodeSlice(splitIntoSlices(smallState(10), 2)[0]!);
    // Just before the first blob is removed, a writer stores the same slice again.
    const racing = new Proxy(store, {
      get(target, property) {
        const method = Reflect.get(target, property) as (...args: unknown[]) => unknown;
        return async (...args: unknown[]) => {
          if (property === 'head') {
            setTime(2000);
            await writeSlice(store, slice);
          }
          return method.apply(target, args);
        };
      },
    });
    const listing = new Proxy(racing, {
      get: (target, property) => (property === 'list' ? store.list.bind(store) : Reflect.get(target, property)),
    });
    const report = await collectGarbage(listing, { ...options, nowMs: 2000 });
    expect(report.removedBlobs).toHaveLength(4);
    expect(report.removedBlobs).not.toContain(slice.record.sha256);
    expect(await store.head(blobKey(slice.record.sha256))).toBeDefined();
  });

  test('removes nothing at all if a manifest or a record cannot be read', async () => {
    const { store } = await setUp();
    await store.put('runs/trial/checkpoints/0000000020.json', new Uint8Array([123]));
    await expect(collectGarbage(store, { ...options, nowMs: 2000 })).rejects.toMatchObject({
      code: 'THAW_CHECKPOINT_INVALID',
    });
    await writeCheckpoint(store, { ...fields, run: 'other' }, smallState(5), 1);
    await store.delete('runs/trial/checkpoints/0000000020.json');
    for (const step of [10, 30, 10])
      await promote(store, 'stable', { run: 'trial', step }, { actor: 'x', timeMs: step });
    await store.delete(recordKey('stable', 2));
    await expect(collectGarbage(store, { ...options, nowMs: 2000 })).rejects.toMatchObject({
      code: 'THAW_CHANNEL_CORRUPT',
    });
    expect(await blobs(store)).toBe(8);
    expect(await listCheckpoints(store, 'trial')).toHaveLength(2);
  });
});
