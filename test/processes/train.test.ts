/** `thaw train` as a person types it: over two sittings with Ctrl-C between, to the bits of one. */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { openMnist, packDataset, sliceSource } from '@thaw/shared/data';
import { listCheckpoints, openStore } from '@thaw/shared/storage';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { isAlive, readClusterFile } from '../../cli/cluster/cluster-file.js';
import { smallRun, until } from './cluster.fixture.js';

const thaw = fileURLToPath(new URL('../../cli/bin/thaw.js', import.meta.url));
/** Checkpoints far apart: what a stop saves is not one that was due. */
const run = smallRun({ name: 'sittings', steps: 30, checkpoint: { everySteps: 1000 } });
let work: string;
let runFile: string;
const started: ChildProcess[] = [];

beforeAll(() => {
  work = mkdtempSync(join(tmpdir(), 'thaw-train-'));
  runFile = join(work, 'run.yaml');
  writeFileSync(runFile, stringify(run));
});
afterAll(() => {
  for (const child of started) child.kill('SIGKILL');
  rmSync(work, { recursive: true, force: true });
});

async function folder(name: string): Promise<string> {
  const dir = join(work, name);
  const { train, test } = await openMnist();
  await packDataset(
    await openStore(pathToFileURL(join(dir, 'store')).href),
    { train: sliceSource(train, 0, 170), test: sliceSource(test, 0, 32) },
    { name: run.data.dataset, preprocessing: { method: 'pillow-bilinear', size: 16 }, shardBytes: 48 * 256 },
  );
  return dir;
}

function train(dir: string, args: readonly string[]) {
  const child = spawn(
    process.execPath,
    [thaw, 'train', runFile, '--dir', dir, '--broker', 'embedded', '--json', ...args],
    {
      env: Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('THAW_'))),
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  started.push(child);
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (text: Buffer) => (stdout += text.toString()));
  child.stderr.on('data', (text: Buffer) => (stderr += text.toString()));
  const ended = new Promise<Record<string, unknown>>((resolve, reject) =>
    child.once('close', (code) => {
      const line = stdout.trimEnd().split('\n').at(-1)!;
      if (code === 0) resolve(JSON.parse(line) as Record<string, unknown>);
      else reject(new Error(`exit code ${code}\n${stdout}\n${stderr}`));
    }),
  );
  return { child, ended };
}

test('a signal saves the step it comes at; a later sitting goes on to the bits of one that never stopped', async () => {
  const dir = await folder('two');
  const first = train(dir, ['--steps', '100000']);
  const cluster = await Promise.race([
    until('a cluster', () => readClusterFile(dir)),
    first.ended.then(() => Promise.reject(new Error('It ended by itself'))),
  ]);
  expect(cluster.samplers).toEqual([]);
  expect(cluster.trainers).toHaveLength(2);
  const pids = [cluster.coordinator.pid, ...cluster.trainers.map(({ pid }) => pid)];
  await until('some steps', async () => {
    const answer = await fetch(`${cluster.coordinator.url}/v1/status`, {
      headers: { authorization: `Bearer ${cluster.token}` },
    });
    return ((await answer.json()) as { step: number }).step >= 3;
  });
  first.child.kill('SIGTERM');
  const stopped = await first.ended;
  expect(stopped).toMatchObject({ run: 'sittings', state: 'stopped', steps: 100_000 });
  const step = stopped.step as number;
  expect(step).toBeGreaterThanOrEqual(3);
  expect(pids.filter(isAlive)).toEqual([]);
  expect(existsSync(join(dir, 'cluster.json'))).toBe(false);
  const store = await openStore(pathToFileURL(join(dir, 'store')).href);
  expect((await listCheckpoints(store, 'sittings')).map((checkpoint) => checkpoint.step)).toContain(step);

  const steps = String(step + 20);
  const resumed = await train(dir, ['--steps', steps, '--trainers', '1']).ended;
  const straight = await train(await folder('one'), ['--steps', steps, '--trainers', '1']).ended;
  expect(resumed).toMatchObject({ state: 'finished', step: step + 20 });
  expect(resumed.weightsSha256).toBe(straight.weightsSha256);

  const again = await train(dir, ['--steps', steps]).ended;
  expect(again).toMatchObject({ state: 'finished', step: step + 20, weightsSha256: straight.weightsSha256 });
});
