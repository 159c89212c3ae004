// From SIGKILL of a trainer to the next committed step, with the broker's disconnect notices and with heartbeats alone.
// npm run bench -- kill [--kills 12] [--trainers 2] [--heartbeat 500] [--json]
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { openMnist, packDataset, sliceSource } from '@thaw/shared/data';
import {
  AnnouncementSchema,
  controlSubjects,
  decodeMessage,
  lanesOf,
  RunConfigSchema,
  StepReportSchema,
} from '@thaw/shared/protocol';
import { createRun, openStore } from '@thaw/shared/storage';
import { connectControl, startBroker } from '@thaw/shared/transport';
import { startChild } from '../cli/dist/cluster/children.js';
import { keep, machine, numberOption, wantsJson } from './results.mjs';

const kills = numberOption('kills', 12);
const trainerCount = numberOption('trainers', 2);
const heartbeatMs = numberOption('heartbeat', 500);
const before = machine();
const run = RunConfigSchema.parse({
  format: 'thaw.run/1',
  name: 'kill',
  seed: 11,
  data: { dataset: 'digits', size: 16, channels: 1 },
  degradation: { family: 'blur', steps: 4, routine: 'Constant', kernelSize: 5, kernelStd: 1 },
  network: { kind: 'convnext-unet', dim: 8, mults: [1, 2], residual: true, zeroInitLast: true },
  optimizer: { learningRate: 0.001 },
  batch: { global: 8, micro: 2 },
  steps: 1_000_000,
  checkpoint: { everySteps: 1_000_000 },
});
const mainOf = (service) => fileURLToPath(new URL(`../services/${service}/dist/main.js`, import.meta.url));
const quantile = (values, q) => {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(q * sorted.length) - 1)];
};
const rounded = (ms) => Math.round(10 * ms) / 10;
const summary = (values) => ({
  p50: rounded(quantile(values, 0.5)),
  p95: rounded(quantile(values, 0.95)),
  max: rounded(Math.max(...values)),
});

/** Waits until `probe` is true. */
async function until(what, probe, limitMs = 120_000) {
  const endMs = performance.now() + limitMs;
  while (!probe()) {
    if (performance.now() > endMs) throw new Error(`It did not happen in ${limitMs / 1000} s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

async function measure(notices) {
  const dir = mkdtempSync(join(tmpdir(), 'thaw-kill-'));
  const children = [];
  const broker = await startBroker({ prefer: 'embedded', storeDir: join(dir, 'broker') });
  try {
    const storeUrl = pathToFileURL(join(dir, 'store')).href;
    const store = await openStore(storeUrl);
    const { train, test } = await openMnist();
    await packDataset(
      store,
      { train: sliceSource(train, 0, 170), test: sliceSource(test, 0, 32) },
      { name: 'digits', preprocessing: { method: 'pillow-bilinear', size: 16 }, shardBytes: 48 * 256 },
    );
    await createRun(store, run);
    let count = 0;
    const start = async (service, env) => {
      const name = `${service}-${count++}`;
      const child = await startChild(
        {
          name,
          script: mainOf(service),
          env: {
            THAW_STORE_URL: storeUrl,
            THAW_NATS_URL: broker.url,
            THAW_NATS_TOKEN: broker.token,
            THAW_RUN: run.name,
            THAW_HEARTBEAT_MS: String(heartbeatMs),
            ...env(name),
          },
        },
        join(dir, 'logs'),
      );
      children.push(child);
      return child;
    };
    const trainer = () =>
      start('trainer', (name) => ({
        THAW_NAME: name,
        THAW_ENGINE: 'onnx-cpu',
        THAW_CACHE_DIR: join(dir, 'cache', name),
      }));
    const system = broker.systemCredentials;
    await start('coordinator', () => ({
      THAW_TOKEN: 'a-token-for-measuring',
      THAW_EVALUATION_IMAGES: '0',
      ...(notices ? { THAW_NATS_SYSTEM_USER: system.user, THAW_NATS_SYSTEM_PASSWORD: system.pass } : {}),
    }));

    /** Of every step: when its commit was first heard of. Of the newest plan: when it was announced. */
    const commits = new Map();
    let plan;
    let planAtMs = 0;
    const link = await connectControl(broker.url, { name: 'stopwatch', token: broker.token });
    link.subscribe(controlSubjects.stepReport(run.name), (bytes) => {
      const nowMs = performance.now();
      for (const { step } of decodeMessage(StepReportSchema, bytes).results)
        if (!commits.has(step)) commits.set(step, nowMs);
    });
    link.subscribe(controlSubjects.announcement(run.name), (bytes) => {
      const announced = decodeMessage(AnnouncementSchema, bytes).plan;
      if (plan !== undefined && announced.generation <= plan.generation) return;
      plan = announced;
      planAtMs = performance.now();
    });
    await link.flush();
    const newest = () => Math.max(-1, ...commits.keys());
    const live = await Promise.all(Array.from({ length: trainerCount }, trainer));
    const samples = [];
    for (let k = 0; k < kills; k++) {
      await until('all trainers are members', () =>
        live.every(({ ready }) => lanesOf(plan ?? { members: [] }, ready.id).length > 0),
      );
      const settled = newest() + 10;
      await until('ten steps', () => newest() >= settled);
      const recent = [...commits.values()].slice(-9);
      const stepMs = quantile(
        recent.slice(1).map((atMs, i) => atMs - recent[i]),
        0.5,
      );
      // Now the one that reports steps (the first member), now another, at any moment of a step.
      live.sort((a, b) => (a.ready.id < b.ready.id ? -1 : 1));
      const [victim] = live.splice(k % live.length, 1);
      await new Promise((resolve) => setTimeout(resolve, (stepMs * (k % 7)) / 7));
      const { generation } = plan;
      const killedMs = performance.now();
      process.kill(victim.pid, 'SIGKILL');
      await until('a plan without it', () => plan.generation > generation);
      const replannedMs = planAtMs;
      let recoveredMs;
      await until('a step of the new plan', () => {
        recoveredMs = [...commits.values()].filter((atMs) => atMs > replannedMs).at(0);
        return recoveredMs !== undefined;
      });
      samples.push({
        stepMs,
        toPlanMs: replannedMs - killedMs,
        toStepMs: recoveredMs - killedMs,
        beyondStepMs: Math.max(0, recoveredMs - killedMs - stepMs),
      });
      process.stderr.write(`${notices ? 'notices' : 'heartbeats'} ${k + 1}: ${JSON.stringify(samples.at(-1))}\n`);
      for (const step of [...commits.keys()].slice(0, -20)) commits.delete(step);
      live.push(await trainer());
    }
    await link.close();
    return {
      samples,
      stepMs: summary(samples.map((sample) => sample.stepMs)),
      toPlanMs: summary(samples.map((sample) => sample.toPlanMs)),
      toStepMs: summary(samples.map((sample) => sample.toStepMs)),
      beyondStepMs: summary(samples.map((sample) => sample.beyondStepMs)),
    };
  } finally {
    await Promise.all(
      children.map(async (child) => {
        try {
          process.kill(child.pid, 'SIGKILL');
        } catch {
          // Gone already.
        }
        await child.exited;
      }),
    );
    await broker.close();
    rmSync(dir, { recursive: true, force: true });
  }
}

const result = {
  trainers: trainerCount,
  kills,
  heartbeatMs,
  notices: await measure(true),
  heartbeats: await measure(false),
};
const entry = keep('kill', before, result);
if (wantsJson()) console.log(JSON.stringify(entry));
else
  for (const way of ['notices', 'heartbeats']) {
    const { toPlanMs, toStepMs, beyondStepMs } = result[way];
    console.log(way);
    console.table({
      'to the new plan, ms': toPlanMs,
      'to the next step, ms': toStepMs,
      'less a step, ms': beyondStepMs,
    });
  }
process.exit(0);
