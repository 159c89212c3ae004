/** The `thaw` command given wrong input: a coded sentence with its cure, the documented exit code, nothing half done. */
import { spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { errorRegistry } from '@thaw/shared/protocol';
import { appendRecord, openStore, recordKey, recordSigner } from '@thaw/shared/storage';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { writeClusterFile } from '../../cli/cluster/cluster-file.js';

const thaw = fileURLToPath(new URL('../../cli/bin/thaw.js', import.meta.url));
let work: string;
beforeAll(() => {
  work = mkdtempSync(join(tmpdir(), 'thaw-cli-'));
  writeFileSync(join(work, 'file'), 'x');
  writeFileSync(join(work, 'broken.yaml'), 'a: [1,\n');
  writeFileSync(join(work, 'list.yaml'), '- 1\n');
  writeFileSync(join(work, 'wrong.yaml'), 'format: thaw.run/1\nname: A B\nstepz: 3\n');
});
afterAll(() => rmSync(work, { recursive: true, force: true }));

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}
function run(args: readonly string[]): Promise<Ended> {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('THAW_')));
  const child = spawn(process.execPath, [thaw, ...args], { cwd: work, env, stdio: ['ignore', 'pipe', 'pipe'] });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (text: Buffer) => (stdout += text.toString()));
  child.stderr.on('data', (text: Buffer) => (stderr += text.toString()));
  return new Promise((resolve) => child.once('close', (code) => resolve({ code, stdout, stderr })));
}
const noStack = ({ stdout, stderr }: Ended): void => expect(stdout + stderr).not.toMatch(/^ {4}at |node_modules/m);

async function expectRefusal(args: readonly string[], exitCode: number, code: string): Promise<string> {
  const ended = await run([...args, '--json']);
  expect([ended.code, ended.stderr]).toEqual([exitCode, expect.stringContaining(code)]);
  noStack(ended);
  const { error } = JSON.parse(ended.stdout.trimEnd().split('\n').at(-1)!) as { error: Record<string, string> };
  expect(error).toMatchObject({ code, message: expect.any(String), cure: expect.any(String) });
  expect(Object.keys(errorRegistry)).toContain(code);
  expect(ended.stderr).toContain(error.cure);
  return error.message!;
}

const wrongUsage: [string[], string][] = [
  [['frobnicate'], "nknown command 'frobnicate'"],
  [['sample', '--count', 'many'], 'a whole number from 1 on'],
  [['up', '--port', '99999'], 'from 0 to 65535'],
  [['up', '--trainers', '-1'], 'a whole number from 0 on'],
  [['up', '--log-level', 'loud'], 'Allowed choices are'],
  [['up', '--engine', 'abacus'], 'Allowed choices are auto, onnx-cpu'],
  [['promote'], "issing required argument 'step'"],
  [['audit', 'at', 'latest', 'yesterday'], 'a time like'],
  [['audit', 'verify', 'latest', '--anchor', 'abc'], 'a SHA-256 of 64'],
  [['restore', 'x.png', '--severity', '0'], 'a whole number from 1 on'],
];
test.concurrent.each(wrongUsage)(
  'wrong usage %j says what is right, with the help, and ends with 2',
  async (args, sentence) => {
    const ended = await run(args);
    expect([ended.code, ended.stderr]).toEqual([2, expect.stringContaining(sentence)]);
    expect(ended.stderr).toMatch(/^THAW_USAGE_INVALID: /);
    expect(ended.stderr).toContain('Usage: thaw');
    noStack(ended);
  },
);

test.concurrent.each(wrongUsage)(
  'a program that reads JSON is told of wrong usage %j in JSON',
  async (args, sentence) => {
    expect(await expectRefusal(args, 2, 'THAW_USAGE_INVALID')).toContain(sentence);
  },
);

test('a folder without a cluster is told apart, and not made by looking', async () => {
  for (const args of [['checkpoints'], ['audit', 'log', 'latest'], ['data', 'inspect', 'mnist']])
    await expectRefusal([...args, '--dir', 'none'], 4, 'THAW_CLUSTER_NOT_FOUND');
  expect(existsSync(join(work, 'none'))).toBe(false);
});

test('run files that cannot be used are named, with every problem', async () => {
  const create = (file: string): Promise<string> =>
    expectRefusal(['run', 'create', file, '--dir', 'runs'], 3, 'THAW_CONFIG_INVALID');
  expect(await create('none.yaml')).toContain('none.yaml');
  expect(await create('broken.yaml')).toContain('broken.yaml');
  expect(await create('list.yaml')).toContain('not a YAML mapping');
  const message = await create('wrong.yaml');
  for (const field of ['name', 'seed', 'stepz']) expect(message).toContain(field);
});

test('channels and stores that do not exist', async () => {
  const store = `file://${work}/store`;
  await expectRefusal(['audit', 'verify', 'production', '--store', store], 3, 'THAW_CHANNEL_UNKNOWN');
  await expectRefusal(['audit', 'log', 'latest', '--store', 'http://x'], 3, 'THAW_STORE_URL_INVALID');
});

test('the chain of a channel is verified against an anchor and a key from outside the store', async () => {
  const url = `file://${work}/audited`;
  const store = await openStore(url);
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  writeFileSync(join(work, 'public.pem'), publicKey.export({ type: 'spki', format: 'pem' }));
  const head = { run: 'small', manifestSha256: 'a'.repeat(64) };
  for (const step of [1, 2])
    await appendRecord(
      store,
      'stable',
      { action: 'promote', ...head, step, actor: 'tester', timeMs: step },
      { signer: recordSigner(pem) },
    );
  const verify = async (...args: string[]): Promise<[number | null, Record<string, unknown>]> => {
    const ended = await run(['audit', 'verify', 'stable', '--store', url, '--json', ...args]);
    return [ended.code, JSON.parse(ended.stdout) as Record<string, unknown>];
  };
  const [, { head: newest }] = (await verify()) as [number, { head: { sha256: string } }];
  expect(await verify('--anchor', `2:${newest.sha256}`, '--key', 'public.pem')).toMatchObject([
    0,
    { ok: true, signed: 2 },
  ]);
  await store.delete(recordKey('stable', 2));
  expect(await verify('--key', 'public.pem')).toMatchObject([0, { ok: true, records: 1 }]);
  expect(await verify('--anchor', newest.sha256)).toMatchObject([1, { ok: false }]);
  await appendRecord(store, 'stable', { action: 'promote', ...head, step: 3, actor: 'forger', timeMs: 3 });
  expect(await verify()).toMatchObject([0, { signed: 1 }]);
  const problem = { seq: 2, problem: 'the record is not signed' };
  expect(await verify('--key', 'public.pem')).toMatchObject([1, { problems: [problem] }]);
  const args = ['audit', 'verify', 'stable', '--store', url, '--key'];
  await expectRefusal([...args, 'none.pem'], 3, 'THAW_FILE_UNUSABLE');
  await expectRefusal([...args, 'file'], 3, 'THAW_AUDIT_KEY_INVALID');
});

test('a cluster that does not answer, and one that answers nonsense', async () => {
  const server = createServer((_request, response) => response.end('hello'));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  writeClusterFile(join(work, 'dead'), {
    format: 'thaw.cluster/1',
    pid: process.pid,
    startedMs: 0,
    run: 'small',
    token: 'a-token-for-tests-only',
    storeUrl: `file://${work}/store`,
    broker: { url: 'nats://127.0.0.1:1', kind: 'embedded', version: '1' },
    coordinator: { url, pid: process.pid },
    trainers: [],
    samplers: [{ name: 'sampler-0', url, pid: process.pid }],
  });
  await expectRefusal(['checkpoints', '--dir', 'dead'], 4, 'THAW_SERVICE_UNREACHABLE');
  expect(existsSync(join(work, 'out'))).toBe(false);
  await new Promise((resolve) => server.close(resolve));
  await expectRefusal(['checkpoints', '--dir', 'dead'], 4, 'THAW_SERVICE_UNREACHABLE');
  // Where the result would go is looked at before any work is asked for.
  expect(await expectRefusal(['sample', '--dir', 'dead', '--out', 'file'], 3, 'THAW_FILE_UNUSABLE')).toContain('file');
});

test('a cluster folder that is a file', async () => {
  expect(await expectRefusal(['up', '--dir', 'file'], 3, 'THAW_FILE_UNUSABLE')).toContain('is a file, not a folder');
});

test('the version is that of the package', async () => {
  const ended = await run(['--version']);
  expect([ended.code, ended.stdout]).toEqual([0, expect.stringMatching(/^\d+\.\d+\.\d+\n$/)]);
});
