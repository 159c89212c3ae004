/** P1 to P4 with real processes: whoever computes, dies, joins or restarts, every checkpoint has the same bits. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ProcessCluster, smallRun, until } from './cluster.fixture.js';

const steps = 60;
let undisturbed: Map<number, string>;
const open: ProcessCluster[] = [];

async function cluster(broker: 'embedded' | 'nats-server' = 'embedded'): Promise<ProcessCluster> {
  const made = await ProcessCluster.create(smallRun({ steps }), broker);
  open.push(made);
  return made;
}

async function finished(of: ProcessCluster): Promise<Map<number, string>> {
  await until(`a checkpoint of step ${steps}`, () => of.hasCheckpoint(steps));
  return of.checkpoints();
}

/** All checkpoints of a run equal those of the undisturbed one; the last is among them. */
function expectSame(checkpoints: Map<number, string>): void {
  expect(checkpoints.has(steps)).toBe(true);
  for (const [step, digests] of checkpoints) expect([step, digests]).toEqual([step, undisturbed.get(step)]);
}

beforeAll(async () => {
  const alone = await cluster();
  await alone.start('coordinator');
  await alone.start('trainer');
  undisturbed = await finished(alone);
  await alone.close();
});
afterAll(async () => {
  for (const made of open) await made.close();
});

test('one undisturbed trainer writes a checkpoint every ten steps, each of other bits', () => {
  expect([...undisturbed.keys()]).toEqual([10, 20, 30, 40, 50, 60]);
  expect(new Set(undisturbed.values()).size).toBe(6);
});

for (const count of [2, 3])
  test(`${count} trainers that all compute lanes give the same bits`, async () => {
    const made = await cluster();
    const trainers = await Promise.all(Array.from({ length: count }, () => made.start('trainer')));
    await made.start('coordinator');
    expectSame(await finished(made));
    for (const trainer of trainers)
      expect(await made.metric(trainer, 'thaw_trainer_lanes_computed_total')).toBeGreaterThan(0);
    await made.close();
  });

test('a trainer that joins under way, and one that is killed, change no bit', async () => {
  const made = await cluster();
  const first = await made.start('trainer', {});
  const coordinator = await made.start('coordinator');
  await until('the first trainer computes', async () => ((await made.status(coordinator))?.step ?? 0) >= 5);
  const second = await made.start('trainer');
  await until(
    'the second trainer computes lanes',
    async () => (await made.metric(second, 'thaw_trainer_lanes_computed_total')) > 4,
  );
  const before = await made.status(coordinator);
  await made.kill(first);
  expect(before!.step).toBeLessThan(steps);
  expectSame(await finished(made));
  expect(await made.metric(second, 'thaw_trainer_step')).toBe(steps);
  await made.close();
});

test('everything killed at once, and started again, goes on from the newest checkpoint to the same bits', async () => {
  const made = await cluster();
  await made.start('trainer');
  await made.start('trainer');
  await made.start('coordinator');
  await until('a first checkpoint', () => made.hasCheckpoint(10));
  await made.killAll();
  const atKill = Math.max(...(await made.checkpoints()).keys());
  expect(atKill).toBeLessThan(steps);
  await made.start('coordinator');
  await made.start('trainer');
  expectSame(await finished(made));
  await made.close();
});

test('SIGTERM to all leaves a checkpoint behind and exits 0; the next start goes on to the same bits', async () => {
  const made = await cluster();
  const trainer = await made.start('trainer');
  const coordinator = await made.start('coordinator');
  await until('some steps', async () => ((await made.status(coordinator))?.step ?? 0) >= 3);
  await trainer.stop(20_000);
  expect(await trainer.exited).toEqual({ code: 0, signal: null });
  const left = Math.max(0, ...(await made.checkpoints()).keys());
  expect(left).toBeGreaterThan(0);
  expect(left).toBeLessThan(steps);
  await coordinator.stop(20_000);
  expect(await coordinator.exited).toEqual({ code: 0, signal: null });
  await made.start('coordinator');
  await made.start('trainer');
  const all = await finished(made);
  const regular = new Map([...all].filter(([step]) => undisturbed.has(step)));
  expectSame(regular);
  await made.close();
});
