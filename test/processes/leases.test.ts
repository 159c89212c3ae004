/**
 * Trainers on a store that answers 403 for every shard that the coordinator has not leased to the one who asks. The run reads two data
 * sets: digits, and other digits that they dissolve into.
 */
import { leasesFor, loadManifest, loadRunSets, type ReadSet } from '@thaw/shared/data';
import { decodePlanObject, planKey } from '@thaw/shared/protocol';
import { openStore } from '@thaw/shared/storage';
import { afterAll, afterEach, beforeEach, expect, test } from 'vitest';
import { S3Double } from '../conformance/s3-double.js';
import { ProcessCluster, smallRun, until } from './cluster.fixture.js';

const prefix = 'thaw';
/** Two epochs of 20 steps of the one set, four of 11 of the other. */
const run = smallRun({
  steps: 40,
  checkpoint: { everySteps: 40 },
  degradation: { family: 'animorphosis', steps: 4, partners: 'others' },
});
const isShard = (key: string): boolean => /\/train-\d+\.safetensors$/.test(key);

let double: S3Double;
let endpoint: string;
let sets: readonly ReadSet[] = [];
/** Shards leased so far to each trainer, by its name: those of its lanes in any plan that was written. */
const leased = new Map<string, Set<string>>();
const asked = new Map<string, Set<string>>();
const denied: string[] = [];
let planSeen = '';
let made: ProcessCluster | undefined;

/** The leases follow from the plan alone, and the plan is written before any of them is handed out. */
function readPlan(): void {
  const stored = double.objects.get(`${prefix}/${planKey(run.name)}`);
  if (stored === undefined || sets.length === 0 || stored.etag === planSeen) return;
  planSeen = stored.etag;
  const plan = decodePlanObject(run.name, stored.bytes);
  for (const { id, lanes } of plan.members) {
    const name = id.slice(0, id.lastIndexOf('-'));
    const shards = leased.get(name) ?? new Set();
    leased.set(name, shards);
    for (const set of sets)
      for (const { reads } of leasesFor({ ...set, lanes, fromStep: 0, generation: plan.generation, epochsAhead: 3 }))
        for (const { shard } of reads) shards.add(`${prefix}/${shard}`);
  }
}

beforeEach(async () => {
  double = new S3Double({
    allows: ({ method, key, accessKey }) => {
      // Before every request, so also before a plan is replaced: none is missed.
      readPlan();
      if (method !== 'GET' || !isShard(key)) return true;
      asked.set(accessKey, (asked.get(accessKey) ?? new Set()).add(key));
      if (leased.get(accessKey)?.has(key) === true) return true;
      denied.push(`${accessKey} ${key}`);
      return false;
    },
  });
  endpoint = await double.start();
  Object.assign(process.env, { AWS_ACCESS_KEY_ID: 'nobody', AWS_SECRET_ACCESS_KEY: 'for-tests-only' });
});
afterEach(async () => {
  await made?.close();
  await double.stop();
});
afterAll(() => {
  delete process.env['AWS_ACCESS_KEY_ID'];
  delete process.env['AWS_SECRET_ACCESS_KEY'];
});

test('trainers ask for no shard outside the leases handed to them, and the run finishes', async () => {
  const storeUrl = `s3://${double.bucket}/${prefix}?endpoint=${encodeURIComponent(endpoint)}`;
  made = await ProcessCluster.create(run, 'embedded', { storeUrl, imagesPerShard: 7 });
  const { own, partners } = await loadRunSets(made.store, run);
  sets = [own, partners!];
  const { train } = (await loadManifest(made.store, 'others')).splits;
  const shards = [...own.manifest.splits.train.shards, ...train.shards].map(({ key }) => `${prefix}/${key}`);
  expect(shards.length).toBe(25 + 13);
  expect(shards.every(isShard)).toBe(true);
  // The store does deny: a reader without a lease gets nothing.
  const stranger = await openStore(storeUrl);
  await expect(stranger.get(own.manifest.splits.train.shards[0]!.key)).rejects.toMatchObject({
    code: 'THAW_STORE_UNAVAILABLE',
  });
  expect(denied.splice(0)).toEqual([`nobody ${shards[0]}`]);

  const trainers = await Promise.all([made.start('trainer'), made.start('trainer')]);
  // Nobody leads, so nobody has leases: two trainers with their engines ready have asked for no shard.
  expect([...asked.keys()]).toEqual(['nobody']);
  await made.start('coordinator');
  await until('the last checkpoint', () => made!.hasCheckpoint(run.steps));

  expect(denied).toEqual([]);
  const names = trainers.map(({ name }) => name);
  for (const trainer of trainers) {
    expect(await made.metric(trainer, 'thaw_trainer_lanes_computed_total')).toBeGreaterThan(0);
    expect(asked.get(trainer.name)!.size).toBeGreaterThan(0);
  }
  expect([...asked.keys()].sort()).toEqual(['nobody', ...names].sort());
  // The proof says something only while some shard is closed to some trainer: one of them never had all lanes.
  const fewest = Math.min(...names.map((name) => leased.get(name)!.size));
  expect(fewest).toBeLessThan(shards.length);
  expect(new Set(names.flatMap((name) => [...asked.get(name)!])).size).toBe(shards.length);
});
