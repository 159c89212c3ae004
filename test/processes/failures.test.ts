/** P1 with real processes when others than trainers fail, or fail halfway: the lead, a pause, the broker, slowness. */
import { afterEach, expect, test } from 'vitest';
import { listCheckpoints, readManifest } from '@thaw/shared/storage';
import type { Child } from '../../cli/cluster/children.js';
import { ProcessCluster, smallRun, until } from './cluster.fixture.js';
import { endless, Undisturbed } from './undisturbed.fixture.js';

const run = smallRun({ steps: endless });
const undisturbed = new Undisturbed();
let made: ProcessCluster;

const stepOf = (trainer: Child): Promise<number> => made.metric(trainer, 'thaw_trainer_step');
const lanesOf = (trainer: Child): Promise<number> => made.metric(trainer, 'thaw_trainer_lanes_computed_total');
const reaches = (trainer: Child, step: number): Promise<boolean> =>
  until(`step ${step}`, async () => (await stepOf(trainer)) >= step);

/** Ids of the members, as a coordinator that leads tells them. */
async function members(coordinator: Child): Promise<string[]> {
  const status = await made.status(coordinator);
  return (status?.trainers ?? []).filter(({ lanes }) => lanes.length > 0).map(({ id }) => id);
}
const hasMembers = (coordinator: Child, count: number): Promise<boolean> =>
  until(`${count} members`, async () => (await members(coordinator)).length === count);

/** Two trainers that both compute lanes, with `coordinators` coordinators. */
async function pair(coordinators = 1): Promise<{ trainers: [Child, Child]; coordinators: Child[] }> {
  made = await ProcessCluster.create(run);
  const leads = [await made.start('coordinator')];
  while (leads.length < coordinators) leads.push(await made.start('coordinator'));
  const trainers = await Promise.all([made.start('trainer'), made.start('trainer')]);
  const leader = (await leaderOf(leads))!;
  await hasMembers(leader, 2);
  return { trainers, coordinators: leads };
}
function leaderOf(coordinators: readonly Child[]): Promise<Child> {
  return until('a coordinator leads', async () => {
    for (const candidate of coordinators) {
      const status = await made.status(candidate);
      if (status !== undefined && status.leader === candidate.ready.id) return candidate;
    }
    return false;
  });
}

afterEach(() => made.close());

test('a standby takes over from a killed leader, and trainers go on meanwhile, to the same bits', async () => {
  const { trainers, coordinators } = await pair(2);
  const leader = await leaderOf(coordinators);
  const standby = coordinators.find((candidate) => candidate !== leader)!;
  // Whoever asks the standby hears of the leader, and so may a service that does not know which is which.
  await until('the standby tells of the leader and of both members', async () => {
    const told = await made.status(standby);
    return (
      told !== undefined &&
      told.leader === leader.ready.id &&
      told.trainers.filter(({ lanes }) => lanes.length > 0).length === 2
    );
  });
  expect((await fetch(new URL('/readyz', String(standby.ready.listening)))).status).toBe(200);
  await until('a checkpoint of the first leader', () => made.hasCheckpoint());
  await made.kill(leader);
  const atKill = await stepOf(trainers[0]);
  // Nobody leads for the time to live of the lead; the step goes on without.
  await until('a step that was begun after the kill', async () => (await stepOf(trainers[0])) >= atKill + 2);
  await until('the standby leads', async () => (await made.status(standby))?.leader === standby.ready.id);
  await undisturbed.goesOn('a leader was killed', made, await stepOf(trainers[0]));
  // The lineage goes through both leaders without a gap.
  const manifests = (await listCheckpoints(made.store, 'small')).map(({ step }) =>
    readManifest(made.store, 'small', step),
  );
  const [first, ...later] = await Promise.all(manifests);
  let before = first!;
  for (const { manifest, manifestSha256 } of later) {
    expect(manifest.parent).toEqual({
      run: 'small',
      step: before.manifest.step,
      manifestSha256: before.manifestSha256,
    });
    before = { manifest, manifestSha256 };
  }
});

test('a paused trainer is judged dead, comes back, heals and computes lanes again; no bit changes', async () => {
  const { trainers, coordinators } = await pair();
  const [paused, other] = trainers;
  made.pause(paused);
  await until('the paused trainer is out of the plan', async () => {
    const left = await members(coordinators[0]!);
    return left.length === 1 && left[0] === other.ready.id;
  });
  const atDeath = await stepOf(other);
  await until('a step without it', async () => (await stepOf(other)) > atDeath);
  made.resume(paused);
  const before = await lanesOf(paused);
  await until('it computes lanes again', async () => (await lanesOf(paused)) > before);
  await reaches(paused, await stepOf(other));
  await undisturbed.goesOn('a trainer was paused', made, await stepOf(paused));
});

test('a broker that is killed and replaced on the same port changes no bit', async () => {
  const { trainers } = await pair();
  await reaches(trainers[0], 2);
  await made.replaceBroker();
  const back = await stepOf(trainers[0]);
  await reaches(trainers[0], back + 2);
  await undisturbed.goesOn('the broker was replaced', made, back + 2);
});

test('a trainer that is again and again the last to finish its lanes changes no bit', async () => {
  const { trainers } = await pair();
  const [slow, quick] = trainers;
  for (let round = 0; round < 6; round++) {
    const step = await stepOf(quick);
    made.pause(slow);
    // The quick one has done all that it can: nothing moves any more.
    let seen = -1;
    await until('the quick trainer waits', async () => {
      const now = await lanesOf(quick);
      const waits = now === seen;
      seen = now;
      return waits;
    });
    made.resume(slow);
    await until('the step is done', async () => (await stepOf(quick)) > step);
  }
  await undisturbed.goesOn('a trainer was slow', made, await stepOf(slow));
});

test('one trainer that is left alone makes the bits of all these runs', () => undisturbed.expectSame());
