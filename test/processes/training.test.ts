/** P1 to P4 with real processes: whoever computes, dies, joins or restarts, every checkpoint has the same bits. */
import { afterEach, expect, test } from 'vitest';
import { ProcessCluster, smallRun, until } from './cluster.fixture.js';
import { endless, Undisturbed } from './undisturbed.fixture.js';

const undisturbed = new Undisturbed();
let made: ProcessCluster;
afterEach(() => made?.close());

async function cluster(steps = endless): Promise<void> {
  made = await ProcessCluster.create(smallRun({ steps }));
}

for (const count of [2, 3])
  test(`${count} trainers that all compute lanes give the same bits`, async () => {
    await cluster(60);
    const trainers = await Promise.all(Array.from({ length: count }, () => made.start('trainer')));
    await made.start('coordinator');
    await undisturbed.goesOn(`${count} trainers finished`, made, 50);
    for (const trainer of trainers)
      expect(await made.metric(trainer, 'thaw_trainer_lanes_computed_total')).toBeGreaterThan(0);
  });

test('a trainer that joins under way, and one that is killed, change no bit', async () => {
  await cluster();
  const first = await made.start('trainer', {});
  const coordinator = await made.start('coordinator');
  await until('the first trainer computes', async () => ((await made.status(coordinator))?.step ?? 0) >= 5);
  const second = await made.start('trainer');
  await until(
    'the second trainer computes lanes',
    async () => (await made.metric(second, 'thaw_trainer_lanes_computed_total')) > 4,
  );
  await made.kill(first);
  const atKill = await made.metric(second, 'thaw_trainer_step');
  await until('a step without the first', async () => (await made.metric(second, 'thaw_trainer_step')) > atKill + 1);
  await undisturbed.goesOn('one joined and one was killed', made, atKill + 1);
});

test('everything killed at once, and started again, goes on from the newest checkpoint to the same bits', async () => {
  await cluster();
  await made.start('trainer');
  await made.start('trainer');
  await made.start('coordinator');
  await until('a first checkpoint', () => made.hasCheckpoint());
  await made.killAll();
  const atKill = Math.max(...(await made.checkpoints()).keys());
  await made.start('coordinator');
  await made.start('trainer');
  await undisturbed.goesOn('all were killed', made, atKill);
});

test('SIGTERM to all leaves a checkpoint behind and exits 0; the next start goes on to the same bits', async () => {
  await cluster();
  const trainer = await made.start('trainer');
  const coordinator = await made.start('coordinator');
  await until('some steps', async () => ((await made.status(coordinator))?.step ?? 0) >= 3);
  await trainer.stop(20_000);
  expect(await trainer.exited).toEqual({ code: 0, signal: null });
  const left = Math.max(0, ...(await made.checkpoints()).keys());
  expect(left).toBeGreaterThan(0);
  await coordinator.stop(20_000);
  expect(await coordinator.exited).toEqual({ code: 0, signal: null });
  await made.start('coordinator');
  await made.start('trainer');
  await undisturbed.goesOn('all were stopped', made, left);
});

test('one trainer that is left alone makes the bits of all these runs', () => undisturbed.expectSame());
