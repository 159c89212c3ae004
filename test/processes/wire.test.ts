/** What crosses the broker in a step, and what two trainers share: the broker and the object store, nothing else. */
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { networkWeightSpecs } from '@thaw/shared/model';
import { afterAll, expect, test } from 'vitest';
import { ProcessCluster, smallRun, until } from './cluster.fixture.js';

/** Steps that are counted. */
const counted = 25;
/** Enough parameters for several chunks, so that each of two trainers owns some. */
const run = smallRun({
  steps: 100_000,
  network: { ...smallRun().network, dim: 16, mults: [1, 2, 4] },
  checkpoint: { everySteps: 100_000 },
});
const open: ProcessCluster[] = [];
afterAll(async () => {
  for (const made of open) await made.close();
});

/** Bytes of one gradient as it is sent: four a parameter. */
const gradientBytes =
  4 *
  Object.values(networkWeightSpecs(run.network, run.data)).reduce(
    (sum, { officialShape }) => sum + officialShape.reduce((product, size) => product * size, 1),
    0,
  );

test('two trainers publish about G N bytes a step, no more than G (1 + N), and share no file outside the store', async () => {
  const made = await ProcessCluster.create(run);
  open.push(made);
  const coordinator = await made.start('coordinator');
  const folders = ['one', 'two'].map((name) => join(made.dir, 'alone', name));
  const trainers = await Promise.all(
    folders.map((folder) => {
      mkdirSync(join(folder, 'tmp'), { recursive: true });
      return made.start('trainer', {
        THAW_CACHE_DIR: join(folder, 'cache'),
        TMPDIR: join(folder, 'tmp'),
        HOME: folder,
      });
    }),
  );
  const sample = () =>
    Promise.all(
      trainers.map(async (trainer) => {
        const [applied = 0, sent = 0, received = 0] = await made.metrics(trainer, [
          'thaw_trainer_steps_applied_total',
          'thaw_trainer_bulk_bytes_sent_total',
          'thaw_trainer_bulk_bytes_received_total',
        ]);
        return { applied, sent, received };
      }),
    );
  await until('both trainers are members', async () => {
    const status = await made.status(coordinator);
    const lanes = (status?.trainers ?? []).map((trainer) => trainer.lanes.length);
    return lanes.length === 2 && lanes.every((count) => count > 0);
  });
  // From here on no snapshot and no change of plan is under way: the step in which the plan changed is over, and one more.
  const begin = (await made.status(coordinator))!.step;
  await until('two more steps', async () => (await made.status(coordinator))!.step >= begin + 2);
  const before = await sample();
  const after = await until(`${counted} more steps`, async () => {
    const now = await sample();
    return now.every(({ applied }, i) => applied - before[i]!.applied >= counted) && now;
  });

  let sentPerStep = 0;
  let receivedPerStep = 0;
  after.forEach(({ applied, sent, received }, i) => {
    const steps = applied - before[i]!.applied;
    sentPerStep += (sent - before[i]!.sent) / steps;
    receivedPerStep += (received - before[i]!.received) / steps;
  });
  // N = 2: contributions to the other owner G (N - 1), totals G. A reading in mid-step can be off by a step's bytes, both together by one in 12.
  expect(sentPerStep / gradientBytes).toBeGreaterThan(2 * 0.85);
  expect(sentPerStep / gradientBytes).toBeLessThan(3);
  // To each trainer the other's contribution to its own chunks, and the other's totals: G (N - 1) twice.
  expect(receivedPerStep / gradientBytes).toBeGreaterThan(2 * 0.85);
  expect(receivedPerStep / gradientBytes).toBeLessThan(3);

  for (const folder of folders) expect(readdirSync(join(folder, 'cache')).length).toBeGreaterThan(0);
  const exit = await Promise.all(
    trainers.map(async (trainer) => {
      await trainer.stop(20_000);
      return trainer.exited;
    }),
  );
  expect(exit).toEqual([
    { code: 0, signal: null },
    { code: 0, signal: null },
  ]);
  console.log(
    `gradient ${gradientBytes} bytes; published ${Math.round(sentPerStep)} a step (${(sentPerStep / gradientBytes).toFixed(3)} G), delivered ${Math.round(receivedPerStep)} (${(receivedPerStep / gradientBytes).toFixed(3)} G)`,
  );
  await made.close();
});
