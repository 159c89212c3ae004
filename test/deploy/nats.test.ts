/** The NATS configuration of the manifests: a whole cluster trains and samples under it, and no role can do another's part. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { connectControl } from '@thaw/shared/transport';
import type { JobStatus } from '@thaw/sampler';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { callBytes, callJson } from '../../cli/cluster/api.js';
import { ProcessCluster, smallRun, token, until } from '../processes/cluster.fixture.js';

const present = spawnSync('nats-server', ['--version']).status === 0;
const roles = ['coordinator', 'trainer', 'sampler', 'system'] as const;
const passwordOf = (role: string): string => `password-of-${role}-1`;

function manifestConfig(): string {
  const text = readFileSync(fileURLToPath(new URL('../../deploy/k8s/base/nats.yaml', import.meta.url)), 'utf8');
  const config = parseAllDocuments(text)
    .map((document) => document.toJS() as { kind: string; data?: Record<string, string> })
    .find(({ kind }) => kind === 'ConfigMap')!.data!['nats.conf']!;
  expect(config).toContain('port: 4222');
  return config.replace('port: 4222', 'listen: "127.0.0.1:-1"').replace(/^http: .*$/m, '');
}

if (!present) test.skip('NATS roles (nats-server is not on PATH)', () => {});
else {
  let folder: string;
  let server: ChildProcess;
  let url: string;
  let cluster: ProcessCluster;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'thaw-nats-'));
    writeFileSync(join(folder, 'nats.conf'), `${manifestConfig()}\nports_file_dir: "${folder}"\n`);
    server = spawn('nats-server', ['-c', join(folder, 'nats.conf')], {
      env: { ...process.env, ...Object.fromEntries(roles.map((role) => [`${role.toUpperCase()}_PASSWORD`, passwordOf(role)])) },
      stdio: 'ignore',
    });
    const ports = await until('nats-server has written its port', () => readdirSync(folder).find((file) => file.endsWith('.ports')));
    url = await until('the ports file is whole', () => {
      try {
        return (JSON.parse(readFileSync(join(folder, ports), 'utf8')) as { nats: string[] }).nats[0];
      } catch {
        return undefined;
      }
    });
    cluster = await ProcessCluster.create(smallRun({ steps: 60 }));
  });
  afterAll(async () => {
    await cluster?.close();
    server?.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  });

  const env = (role: 'coordinator' | 'trainer' | 'sampler'): Record<string, string> => ({
    THAW_NATS_URL: url,
    THAW_NATS_TOKEN: '',
    THAW_NATS_USER: role,
    THAW_NATS_PASSWORD: passwordOf(role),
    ...(role === 'coordinator' ? { THAW_NATS_SYSTEM_USER: 'system', THAW_NATS_SYSTEM_PASSWORD: passwordOf('system'), THAW_EVALUATION_IMAGES: '8' } : {}),
  });

  test('two trainers, one of them killed, a coordinator and two samplers do their work', async () => {
    // Trainers first: both send heartbeats when the coordinator comes, so neither can finish the run alone.
    const trainers = await Promise.all([
      cluster.start('trainer', env('trainer')),
      cluster.start('trainer', env('trainer')),
    ]);
    const coordinator = await cluster.start('coordinator', env('coordinator'));
    await until('both compute', async () => (await cluster.status(coordinator))?.trainers.filter(({ lanes }) => lanes.length > 0).length === 2);
    await cluster.kill(trainers[0]!);
    await until('the last checkpoint', () => cluster.hasCheckpoint(60));
    const samplers = await Promise.all([cluster.start('sampler', env('sampler')), cluster.start('sampler', env('sampler'))]);
    await until('an evaluation', async () => (await cluster.status(coordinator))?.evaluation?.step === 60);
    // Either may have evaluated; both must have loaded the model.
    for (const { ready } of samplers)
      await until('a sampler is ready', async () => (await fetch(new URL('/readyz', String(ready.listening)))).ok);
    const target = { url: String(samplers[0]!.ready.listening), token };
    const { id } = await callJson<JobStatus>(target, '/v1/jobs', { json: { mode: 'sample', count: 12 } });
    await until('a job is done', async () => (await callJson<JobStatus>(target, `/v1/jobs/${id}?waitMs=1000`)).state === 'done');
    for (const sampler of samplers) expect(await cluster.metric(sampler, 'thaw_sampler_row_steps_total')).toBeGreaterThan(0);
    // A coordinator that stands by hears the leader, and its page plays by the samplers.
    const standby = await cluster.start('coordinator', env('coordinator'));
    await until('the standby follows', async () => (await cluster.status(standby))?.leader === coordinator.ready.id);
    const page = { url: String(standby.ready.listening), token };
    const { job } = await callJson<{ job: string }>(page, '/v1/playground', { json: {} });
    const frames = new TextDecoder().decode(await callBytes(page, `/v1/playground/${job}/frames`));
    expect(frames).toContain('"severity":0');
  });

  const forbidden: [role: (typeof roles)[number], what: string, subject: string][] = [
    ['trainer', 'announce a plan', 'thaw.small.announcement'],
    ['trainer', 'hand out leases', 'thaw.small.leases.somebody-01'],
    ['trainer', 'tell what the run does', 'thaw.small.status'],
    ['trainer', 'move samplers', 'thaw.channel-moved'],
    ['sampler', 'send gradients', 'thaw.small.bulk.all'],
    ['sampler', 'pretend to be a trainer', 'thaw.small.heartbeat'],
    ['coordinator', 'send gradients', 'thaw.small.bulk.all'],
    ['system', 'say anything', 'thaw.small.announcement'],
  ];
  for (const [role, what, subject] of forbidden)
    test(`a ${role} cannot ${what}`, async () => {
      const errors: string[] = [];
      const link = await connectControl(url, { name: `trial-${role}`, user: role, pass: passwordOf(role), onError: (error) => errors.push(String(error)) });
      link.publish(subject, new Uint8Array(1));
      await link.flush();
      await until('the server refuses it', () => errors.some((error) => /permission/i.test(error)));
      await link.close();
    });
}
