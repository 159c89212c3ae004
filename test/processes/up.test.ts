/** `thaw up` as a person types it: the last line of JSON, Ctrl-C, resuming, a busy folder, a killed supervisor. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { openMnist, packDataset, sliceSource } from '@thaw/shared/data';
import { decodeSafetensors, openStore } from '@thaw/shared/storage';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { isAlive, readClusterFile, type ClusterFile } from '../../cli/cluster/cluster-file.js';
import { smallRun, until } from './cluster.fixture.js';

const thaw = fileURLToPath(new URL('../../cli/bin/thaw.js', import.meta.url));
let work: string;
let runFile: string;
const supervisors: ChildProcess[] = [];

beforeAll(() => {
  work = mkdtempSync(join(tmpdir(), 'thaw-up-'));
  runFile = join(work, 'run.yaml');
  writeFileSync(
    runFile,
    stringify(smallRun({ data: { dataset: 'mnist', size: 16, channels: 1, flip: false }, steps: 20 })),
  );
});
afterAll(() => {
  for (const supervisor of supervisors) supervisor.kill('SIGKILL');
  rmSync(work, { recursive: true, force: true });
});

/** A cluster folder whose store holds 170 digits under the name that the demonstration packs all of MNIST under. */
async function folder(name: string): Promise<string> {
  const dir = join(work, name);
  mkdirSync(dir, { recursive: true });
  const { train, test } = await openMnist();
  await packDataset(
    await openStore(pathToFileURL(join(dir, 'store')).href),
    { train: sliceSource(train, 0, 170), test: sliceSource(test, 0, 300) },
    { name: 'mnist', preprocessing: { method: 'pillow-bilinear', size: 16 }, shardBytes: 48 * 256 },
  );
  return dir;
}

const environment = (): NodeJS.ProcessEnv =>
  Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('THAW_')));

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function up(dir: string, args: readonly string[]): { child: ChildProcess; ended: Promise<Ended> } {
  const child = spawn(
    process.execPath,
    [thaw, 'up', '--dir', dir, '--config', runFile, '--broker', 'embedded', ...args],
    {
      env: environment(),
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  supervisors.push(child);
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (text: Buffer) => (stdout += text.toString()));
  child.stderr.on('data', (text: Buffer) => (stderr += text.toString()));
  return { child, ended: new Promise((resolve) => child.once('close', (code) => resolve({ code, stdout, stderr }))) };
}

const pidsOf = (cluster: ClusterFile): number[] => [
  cluster.coordinator.pid,
  ...cluster.trainers.map(({ pid }) => pid),
  ...cluster.samplers.map(({ pid }) => pid),
];
const running = (dir: string): Promise<ClusterFile> => until(`a cluster on ${dir}`, () => readClusterFile(dir));
const summaryOf = ({ code, stdout, stderr }: Ended): Record<string, unknown> => {
  expect(code, stderr).toBe(0);
  return JSON.parse(stdout.trimEnd().split('\n').at(-1)!) as Record<string, unknown>;
};

test('--exit --json trains, draws 16 samples and prints one last line; a later start goes on to the bits of a run that never stopped', async () => {
  const stopped = await folder('stopped');
  const first = summaryOf(await up(stopped, ['--steps', '20', '--exit', '--json']).ended);
  expect(first).toMatchObject({ steps: 20, trainers: 2, checkpoint: 'runs/small/checkpoints/0000000020.json' });
  for (const field of ['lossFirst', 'lossLast', 'baselineL1', 'restoredL1', 'imagesPerSecond'])
    expect(first[field], field).toBeGreaterThan(0);
  const samples = first.samples as string[];
  expect(samples).toHaveLength(16);
  for (const file of samples) expect(readFileSync(file).subarray(1, 4).toString()).toBe('PNG');

  const out = join(work, 'weights.safetensors');
  const exported = spawnSync(
    process.execPath,
    [thaw, 'export', '--dir', stopped, '--run', 'small', '--out', out, '--json'],
    { env: environment(), encoding: 'utf8' },
  );
  expect(JSON.parse(exported.stdout)).toMatchObject({ step: 20, sha256: first.weightsSha256 });
  const { tensors } = decodeSafetensors(new Uint8Array(readFileSync(out)));
  const hash = createHash('sha256');
  for (const name of Object.keys(tensors).sort()) {
    const { buffer, byteOffset, byteLength } = tensors[name]!.data;
    hash.update(new Uint8Array(buffer, byteOffset, byteLength));
  }
  expect(hash.digest('hex')).toBe(first.weightsSha256);

  const resumed = summaryOf(await up(stopped, ['--steps', '45', '--exit', '--json']).ended);
  const straight = summaryOf(
    await up(await folder('straight'), ['--steps', '45', '--trainers', '1', '--exit', '--json']).ended,
  );
  expect(resumed.weightsSha256).toBe(straight.weightsSha256);
  expect(resumed.weightsSha256).not.toBe(first.weightsSha256);
});

test('a busy folder is refused with the URL; Ctrl-C stops every process and leaves no cluster file', async () => {
  const dir = await folder('interrupted');
  const { child, ended } = up(dir, ['--steps', '100000']);
  const cluster = await running(dir);
  expect(statSync(join(dir, 'cluster.json')).mode & 0o777).toBe(0o600);
  const second = await up(dir, []).ended;
  expect(second.code).toBe(3);
  expect(second.stderr).toContain('THAW_DIR_BUSY');
  expect(second.stderr).toContain(cluster.coordinator.url);
  child.kill('SIGINT');
  expect((await ended).code).toBe(0);
  expect(pidsOf(cluster).filter(isAlive)).toEqual([]);
  expect(existsSync(join(dir, 'cluster.json'))).toBe(false);
});

test('when the supervisor is killed, no process of the cluster is left', async () => {
  const dir = await folder('orphans');
  const { child, ended } = up(dir, ['--steps', '100000', '--samplers', '0']);
  const cluster = await running(dir);
  child.kill('SIGKILL');
  await ended;
  await until('all processes have ended', () => pidsOf(cluster).every((pid) => !isAlive(pid)));
});

test('--exit does not wait for ever: it ends with a sentence when a trainer cannot come back', async () => {
  const dir = await folder('lost');
  const { ended } = up(dir, ['--steps', '100000', '--exit', '--json', '--trainers', '1']);
  const cluster = await running(dir);
  renameSync(join(dir, 'store'), join(dir, 'gone'));
  process.kill(cluster.trainers[0]!.pid, 'SIGKILL');
  const { code, stdout, stderr } = await ended;
  expect(code, stderr).toBe(1);
  expect(JSON.parse(stdout.trimEnd().split('\n').at(-1)!)).toMatchObject({
    error: { code: 'THAW_CLUSTER_START', message: expect.stringContaining('THAW_RUN_NOT_FOUND') },
  });
  expect(pidsOf(cluster).filter(isAlive)).toEqual([]);
  expect(existsSync(join(dir, 'cluster.json'))).toBe(false);
});
