import { beforeEach, describe, expect, test } from 'vitest';
import { priorKey } from '../../protocol/index.js';
import { blobKey, sha256Hex } from '../blobs/index.js';
import { promote, readLog, rollback, verifyChain } from '../channels/index.js';
import type { CheckpointRef } from '../checkpoints/index.js';
import { writeCheckpoint } from '../checkpoints/index.js';
import { fields, smallState } from '../checkpoints/state.fixture.js';
import { collectGarbage } from '../retention/index.js';
import { MemoryStore } from '../store/index.js';
import { priorOfColour } from './prior.fixture.js';
import {
  adoptPrior,
  bindPrior,
  bindingsOf,
  decodePrior,
  priorBindingKey,
  priorByDigest,
  priorOf,
  storePrior,
} from './index.js';

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
let nowMs: number;
let store: MemoryStore;
const checkpoint = async (step: number): Promise<CheckpointRef> => {
  const { manifestSha256 } = await writeCheckpoint(store, fields, smallState(step), 1);
  return { run: 'trial', step, manifestSha256 };
};
const colourOf = async (ref: CheckpointRef): Promise<number | undefined> =>
  (await priorOf(store, ref))?.prior.mixture.means[0]![0];

beforeEach(() => {
  nowMs = 0;
  store = new MemoryStore({ wallTimeMs: () => nowMs });
});

describe('the prior of a checkpoint', () => {
  test('is the first that was fitted; a later one is for later checkpoints', async () => {
    const early = await checkpoint(10);
    expect([await priorOf(store, early), await bindPrior(store, early)]).toEqual([undefined, undefined]);
    const first = await storePrior(store, 'trial', priorOfColour(0.1));
    expect(first).toMatchObject({ bound: [10], others: [] });
    const between = await checkpoint(20);
    expect(await colourOf(between)).toBe(0.1);
    const second = await storePrior(store, 'trial', priorOfColour(0.2));
    // Step 20 may have been used with the first one.
    expect(second).toMatchObject({ bound: [], others: [10, 20] });
    const late = await checkpoint(30);
    expect([await colourOf(early), await colourOf(between), await colourOf(late)]).toEqual([0.1, 0.1, 0.2]);
    expect(await bindPrior(store, late)).toBe(second.sha256);
    await storePrior(store, 'trial', priorOfColour(0.3));
    expect(await colourOf(late)).toBe(0.2);
    expect((await priorByDigest(store, first.sha256)).prior).toEqual(priorOfColour(0.1));
  });

  test('fitting the same again changes nothing', async () => {
    const ref = await checkpoint(10);
    const first = await storePrior(store, 'trial', priorOfColour(0.1));
    expect(await storePrior(store, 'trial', priorOfColour(0.1))).toEqual(first);
    expect(await colourOf(ref)).toBe(0.1);
  });

  test('of a store from before bindings is bound as it was', async () => {
    const ref = await checkpoint(10);
    const bytes = encode(JSON.stringify(priorOfColour(0.4)));
    await store.put(priorKey('trial'), bytes);
    expect(await colourOf(ref)).toBe(0.4);
    expect(await bindPrior(store, ref)).toBe(sha256Hex(bytes));
    await storePrior(store, 'trial', priorOfColour(0.5));
    expect(await colourOf(ref)).toBe(0.4);
  });

  test('is one, whoever binds it at the same time', async () => {
    const ref = await checkpoint(10);
    await store.put(priorKey('trial'), encode(JSON.stringify(priorOfColour(0.1))));
    const racers = await Promise.all([
      bindPrior(store, ref),
      storePrior(store, 'trial', priorOfColour(0.2)),
      bindPrior(store, ref),
      promote(store, 'latest', ref, { actor: 'tester', timeMs: 1 }),
    ]);
    const bound = await bindPrior(store, ref);
    expect([racers[0], racers[2], racers[3].record.prior]).toEqual([bound, bound, bound]);
  });

  test('that cannot be read, or binds something else, is named', async () => {
    const [ref, other] = [await checkpoint(10), await checkpoint(20)];
    await store.put(priorKey('trial'), encode('{"format":"thaw.prior/1"'));
    await expect(priorOf(store, ref)).rejects.toMatchObject({ code: 'THAW_PRIOR_INVALID' });
    expect((await promote(store, 'latest', ref, { actor: 'tester', timeMs: 1 })).record.prior).toBeUndefined();
    await store.put(priorKey('trial'), encode(JSON.stringify(priorOfColour(0.1))));
    const bound = (await bindPrior(store, other))!;
    await store.put(priorBindingKey(ref), (await store.get(priorBindingKey(other)))!.bytes);
    await expect(priorOf(store, ref)).rejects.toThrow('says it is of step 20');
    await store.put(blobKey(bound), encode('{}'));
    await expect(priorOf(store, other)).rejects.toMatchObject({ code: 'THAW_BLOB_CORRUPT' });
  });
});

test('channels: a promotion binds the prior and its record names it; going back goes back to the old one', async () => {
  const by = (timeMs: number) => ({ actor: 'tester', timeMs });
  const [one, two] = [await checkpoint(10), await checkpoint(20)];
  expect((await promote(store, 'stable', one, by(1))).record.prior).toBeUndefined();
  const first = await storePrior(store, 'trial', priorOfColour(0.1));
  expect((await promote(store, 'stable', two, by(2))).record.prior).toBe(first.sha256);
  const three = await checkpoint(30);
  await storePrior(store, 'trial', priorOfColour(0.2));
  const four = await checkpoint(40);
  await promote(store, 'stable', three, by(3));
  const fourth = await promote(store, 'stable', four, by(4));
  expect(fourth.record.prior).not.toBe(first.sha256);
  expect((await rollback(store, 'stable', by(5))).record).toMatchObject({ step: 30, prior: first.sha256 });
  expect((await verifyChain(store, 'stable')).problems).toEqual([]);
  const named = [];
  for await (const { record } of readLog(store, 'stable')) named.push(record.prior);
  expect(named.filter((prior) => prior === first.sha256)).toHaveLength(3);
});

test('weights that come with a prior keep it', async () => {
  const ref = await checkpoint(0);
  const came = decodePrior(encode(JSON.stringify(priorOfColour(0.7, 'elsewhere'))), 'The prior of the file');
  expect(await adoptPrior(store, ref, came)).toBe(came.sha256);
  await storePrior(store, 'trial', priorOfColour(0.2));
  expect(await colourOf(ref)).toBe(0.7);
});

describe('garbage collection', () => {
  const collect = (dryRun = false) => collectGarbage(store, { policy: { keepLast: 1 }, graceMs: 1000, dryRun, nowMs });

  test('keeps a prior as long as a checkpoint that has it, and what binds it no longer', async () => {
    await checkpoint(10);
    const { sha256: old } = await storePrior(store, 'trial', priorOfColour(0.1));
    await storePrior(store, 'trial', priorOfColour(0.2));
    const { sha256: unused } = await storePrior(store, 'trial', priorOfColour(0.3));
    const { sha256: present } = await storePrior(store, 'trial', priorOfColour(0.4));
    const kept = await checkpoint(20);
    nowMs = 2000;
    await promote(store, 'stable', { run: 'trial', step: 10 }, { actor: 'tester', timeMs: 1 });
    const there = (sha256: string): Promise<boolean> => store.head(blobKey(sha256)).then((head) => head !== undefined);
    nowMs = 4000;
    expect((await collect()).removedBlobs).toContain(unused);
    expect([await there(old), await there(unused), await there(present)]).toEqual([true, false, true]);
    expect(await colourOf(kept)).toBe(0.4);
    // Nothing serves step 10 any more: its prior goes with it.
    await promote(store, 'stable', kept, { actor: 'tester', timeMs: 2 });
    for (let step = 21; step < 27; step++) {
      await checkpoint(step);
      await promote(store, 'stable', { run: 'trial', step }, { actor: 'tester', timeMs: step });
    }
    nowMs = 6000;
    expect((await collect(true)).removedBlobs).toContain(old);
    expect(await there(old)).toBe(true);
    const before = (await bindingsOf(store, 'trial')).length;
    const { removedCheckpoints } = await collect();
    expect(removedCheckpoints.map(({ step }) => step).sort()).toEqual([10, 20]);
    expect(await there(old)).toBe(false);
    expect((await bindingsOf(store, 'trial')).length).toBe(before - 2);
  });

  test('removes nothing while a binding cannot be read', async () => {
    const ref = await checkpoint(10);
    await checkpoint(20);
    await storePrior(store, 'trial', priorOfColour(0.1));
    await store.put(priorBindingKey(ref), encode('torn'));
    nowMs = 4000;
    await expect(collect()).rejects.toMatchObject({ code: 'THAW_PRIOR_INVALID' });
    expect(await store.head(`runs/trial/checkpoints/0000000010.json`)).toBeDefined();
  });
});
