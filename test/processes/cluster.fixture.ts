/** A cluster of real processes on a small run, for tests that kill them. Every process is one of the build's main files. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { openMnist, packDataset, sliceSource } from '@thaw/shared/data';
import { RunConfigSchema, type RunConfig } from '@thaw/shared/protocol';
import { createRun, listCheckpoints, openStore, readManifest, type ObjectStore } from '@thaw/shared/storage';
import { startBroker, type BrokerHandle } from '@thaw/shared/transport';
import type { Status } from '@thaw/coordinator';
import { callBytes, callJson } from '../../cli/cluster/api.js';
import { startChild, type Child } from '../../cli/cluster/children.js';

export const token = 'a-token-for-tests-only';

/** 4 lanes of 2 rows; 20 steps an epoch, so that 60 steps cross two epoch borders. */
export const smallRun = (changes: Partial<RunConfig> = {}): RunConfig =>
  RunConfigSchema.parse({
    format: 'thaw.run/1',
    name: 'small',
    seed: 11,
    data: { dataset: 'digits', size: 16, channels: 1 },
    degradation: { family: 'blur', steps: 4, routine: 'Constant', kernelSize: 5, kernelStd: 1 },
    network: { kind: 'convnext-unet', dim: 8, mults: [1, 2], residual: true, zeroInitLast: true },
    optimizer: { learningRate: 0.001 },
    ema: { decay: 0.9, every: 1, startStep: 5 },
    batch: { global: 8, micro: 2 },
    steps: 60,
    checkpoint: { everySteps: 10 },
    ...changes,
  });

const mainOf = (service: string): string =>
  fileURLToPath(new URL(`../../services/${service}/dist/main.js`, import.meta.url));

/** Waits until `probe` gives a value; fails with `what` after a generous time. The only waiting that tests do. */
export async function until<T>(
  what: string,
  probe: () => Promise<T | undefined | false> | T | undefined | false,
  limitMs = 120_000,
): Promise<T> {
  const endMs = performance.now() + limitMs;
  for (;;) {
    const value = await probe();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > endMs) throw new Error(`It did not happen in ${limitMs / 1000} s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

export class ProcessCluster {
  readonly dir: string;
  readonly store: ObjectStore;
  readonly storeUrl: string;
  readonly run: RunConfig;
  #broker: BrokerHandle | undefined;
  #children: Child[] = [];
  #count = 0;

  private constructor(dir: string, storeUrl: string, store: ObjectStore, run: RunConfig) {
    this.dir = dir;
    this.storeUrl = storeUrl;
    this.store = store;
    this.run = run;
  }

  /** A store (a folder of its own) with 170 digits (8 x 20 and a remainder of 10) in four shards, the run, and a broker. */
  static async create(
    run: RunConfig = smallRun(),
    broker: 'embedded' | 'nats-server' = 'embedded',
    options: { readonly storeUrl?: string; readonly imagesPerShard?: number } = {},
  ): Promise<ProcessCluster> {
    const dir = mkdtempSync(join(tmpdir(), 'thaw-processes-'));
    const storeUrl = options.storeUrl ?? pathToFileURL(join(dir, 'store')).href;
    const store = await openStore(storeUrl);
    const { train, test } = await openMnist();
    await packDataset(
      store,
      { train: sliceSource(train, 0, 170), test: sliceSource(test, 0, 32) },
      {
        name: 'digits',
        preprocessing: { method: 'pillow-bilinear', size: run.data.size },
        shardBytes: (options.imagesPerShard ?? 48) * run.data.size ** 2,
      },
    );
    // Partners of animorphosis: 90 other digits, 11 steps an epoch.
    if (run.degradation.family === 'animorphosis')
      await packDataset(
        store,
        { train: sliceSource(train, 200, 290) },
        {
          name: run.degradation.partners,
          preprocessing: { method: 'pillow-bilinear', size: run.data.size },
          shardBytes: (options.imagesPerShard ?? 48) * run.data.size ** 2,
        },
      );
    await createRun(store, run);
    const cluster = new ProcessCluster(dir, storeUrl, store, run);
    await cluster.startBroker(broker);
    return cluster;
  }

  async startBroker(kind: 'embedded' | 'nats-server'): Promise<void> {
    this.#broker = await startBroker({ prefer: kind, storeDir: join(this.dir, `broker-${this.#count++}`) });
  }

  /** SIGKILLs the broker's process and starts another on the same port with the same token. */
  async replaceBroker(): Promise<void> {
    const { pid, url, token: secret, kind, exited } = this.broker;
    process.kill(pid!, 'SIGKILL');
    await exited;
    const port = Number(new URL(url).port);
    const storeDir = join(this.dir, `broker-${this.#count++}`);
    this.#broker = await startBroker({
      prefer: kind === 'embedded' ? 'embedded' : 'nats-server',
      port,
      storeDir,
      ...(secret === undefined ? {} : { token: secret }),
    });
  }

  get broker(): BrokerHandle {
    return this.#broker!;
  }

  async start(service: 'coordinator' | 'trainer' | 'sampler', env: Record<string, string> = {}): Promise<Child> {
    const name = `${service}-${this.#count++}`;
    const system = this.broker.systemCredentials;
    const own: Record<string, Record<string, string>> = {
      coordinator: {
        THAW_TOKEN: token,
        THAW_EVALUATION_IMAGES: '0',
        ...(system?.user === undefined
          ? {}
          : { THAW_NATS_SYSTEM_USER: system.user, THAW_NATS_SYSTEM_PASSWORD: system.pass ?? '' }),
      },
      trainer: { THAW_NAME: name, THAW_ENGINE: 'onnx-cpu', THAW_CACHE_DIR: join(this.dir, 'cache', name) },
      sampler: { THAW_NAME: name, THAW_ENGINE: 'onnx-cpu', THAW_TOKEN: token },
    };
    const child = await startChild(
      {
        name,
        script: mainOf(service),
        env: {
          THAW_STORE_URL: this.storeUrl,
          THAW_NATS_URL: this.broker.url,
          ...(this.broker.token === undefined ? {} : { THAW_NATS_TOKEN: this.broker.token }),
          THAW_RUN: this.run.name,
          // By these an S3 store can tell who asks.
          AWS_ACCESS_KEY_ID: name,
          AWS_SECRET_ACCESS_KEY: 'for-tests-only',
          ...own[service],
          ...env,
        },
      },
      join(this.dir, 'logs'),
    );
    this.#children.push(child);
    return child;
  }

  /** SIGSTOP: the process keeps its connections and memory and does nothing, until {@link resume}. */
  pause(child: Child): void {
    process.kill(child.pid, 'SIGSTOP');
  }
  resume(child: Child): void {
    process.kill(child.pid, 'SIGCONT');
  }

  /** SIGKILL, and the process is gone when this resolves. */
  async kill(child: Child): Promise<void> {
    process.kill(child.pid, 'SIGKILL');
    await child.exited;
  }

  async killAll(): Promise<void> {
    await Promise.all(this.#children.splice(0).map((child) => this.kill(child).catch(() => undefined)));
  }

  status(coordinator: Child): Promise<Status | undefined> {
    return callJson<Status>({ url: String(coordinator.ready.listening), token }, '/v1/status').catch(() => undefined);
  }

  /** A counter or gauge of a process, from its metrics. */
  async metric(child: Child, name: string): Promise<number> {
    return (await this.metrics(child, [name]))[0]!;
  }

  /** Several counters or gauges of a process, of one moment. */
  async metrics(child: Child, names: readonly string[]): Promise<number[]> {
    const url = String(child.ready.metrics ?? child.ready.listening);
    const lines = new TextDecoder().decode(await callBytes({ url, token }, '/metrics')).split('\n');
    return names.map((name) =>
      Number(
        lines
          .find((line) => line.startsWith(name))
          ?.split(' ')
          .at(-1) ?? 0,
      ),
    );
  }

  /** Step and slice digests of every checkpoint: weights, EMA, moments and exponents are all in the slices. */
  async checkpoints(): Promise<Map<number, string>> {
    const found = new Map<number, string>();
    for (const { step } of await listCheckpoints(this.store, this.run.name)) {
      const { manifest } = await readManifest(this.store, this.run.name, step);
      found.set(step, `${manifest.weightsSha256} ${manifest.slices.map((slice) => slice.sha256).join(' ')}`);
    }
    return found;
  }

  /** A checkpoint of that step; of any step unless one is given. A run surely has that of its end, others may be left out. */
  async hasCheckpoint(step?: number): Promise<boolean> {
    const found = await listCheckpoints(this.store, this.run.name);
    return step === undefined ? found.length > 0 : found.some((checkpoint) => checkpoint.step === step);
  }

  async close(): Promise<void> {
    await this.killAll();
    await this.#broker?.close();
    rmSync(this.dir, { recursive: true, force: true });
  }
}
