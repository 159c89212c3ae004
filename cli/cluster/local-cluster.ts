/** Starts and stops a local cluster: broker, coordinator, trainers and samplers, each a process of its own, on a folder store. */
import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { join, resolve } from 'node:path';
import { ThawError } from '@thaw/shared/protocol';
import { startBroker } from '@thaw/shared/transport';
import { startChild, type Child } from './children.js';
import { RestartBackoff } from './restart-backoff.js';
import { readClusterFile, removeClusterFile, storeUrlOf, writeClusterFile, type ClusterFile } from './cluster-file.js';

export interface LocalClusterOptions {
  readonly dir: string;
  /** Name of a run whose configuration is in the store. */
  readonly run: string;
  readonly trainers: number;
  readonly samplers: number;
  /** Test images on which samplers score every checkpoint; the coordinator's own number unless given. */
  readonly evaluationImages?: number;
  /** Port of the page; 0 lets the system choose. */
  readonly port: number;
  readonly engine: string;
  /** What trainers compute again instead of keeping it, as their configuration writes it. */
  readonly recompute?: string;
  /** With THAW_NATS_URL in the environment that broker is used instead. */
  readonly broker: 'auto' | 'nats-server' | 'embedded';
  readonly logLevel: string;
  /** Told when a process ended without being asked to, and when it was started again. */
  readonly onIncident: (line: string) => void;
}

export interface LocalCluster {
  readonly file: ClusterFile;
  /** The engine that the trainers took, and why. */
  readonly engine: string;
  /**
   * Resolves when a process was refused, or could not be started again several times in a row: for whoever waits for the run to finish.
   * Starting it again goes on meanwhile, unless it was refused.
   */
  readonly hopeless: Promise<ThawError>;
  /** Drains trainers, samplers, coordinator and broker, in this order. */
  stop(): Promise<void>;
}

/** After so many failed starts in a row a process is not expected to come back by itself. */
const hopelessStarts = 3;

const entryOf = (service: 'coordinator' | 'trainer' | 'sampler'): string =>
  fileURLToPath(new URL(`./main.js`, import.meta.resolve(`@thaw/${service}`)));

/** @throws ThawError THAW_DIR_BUSY with the page's URL when a cluster already runs on the folder. */
export function assertFolderFree(dir: string): void {
  const running = readClusterFile(dir);
  if (running !== undefined)
    throw new ThawError(
      'THAW_DIR_BUSY',
      `A local cluster (process ${running.pid}) already runs on ${resolve(dir)}: ${running.coordinator.url}`,
    );
}

function externalCredentials(): { token?: string } {
  const token = process.env.THAW_NATS_TOKEN;
  return token === undefined ? {} : { token };
}

export async function startLocalCluster(options: LocalClusterOptions): Promise<LocalCluster> {
  assertFolderFree(options.dir);
  const dir = resolve(options.dir);
  const logDir = join(dir, 'logs');
  mkdirSync(logDir, { recursive: true });
  const token = randomBytes(24).toString('base64url');
  const url = process.env.THAW_NATS_URL;
  const broker = await startBroker({
    prefer: options.broker,
    storeDir: join(dir, 'broker'),
    ...(url === undefined ? {} : { url, ...externalCredentials() }),
  });
  const system = broker.systemCredentials;
  const common: Record<string, string> = {
    THAW_STORE_URL: storeUrlOf(dir),
    THAW_NATS_URL: broker.url,
    ...(broker.token === undefined ? {} : { THAW_NATS_TOKEN: broker.token }),
    THAW_RUN: options.run,
    THAW_LOG_LEVEL: options.logLevel,
  };
  const started: Child[] = [];
  let giveUp!: (error: ThawError) => void;
  const hopeless = new Promise<ThawError>((resolve) => (giveUp = resolve));
  const restarts = new RestartBackoff();
  let stopping = false;

  const start = async (
    name: string,
    service: 'coordinator' | 'trainer' | 'sampler',
    env: Record<string, string>,
  ): Promise<Child> => {
    const child = await startChild({ name, script: entryOf(service), env: { ...common, ...env } }, logDir);
    started.push(child);
    void child.exited.then(async ({ code, signal }) => {
      started.splice(started.indexOf(child), 1);
      if (stopping || code === 0) return;
      const what = `${name} ended (${signal ?? `exit code ${code}`})`;
      // Exit code 3: it was refused, and would be again.
      if (code === 3) {
        const refused = `${what}: it was refused. Its log says why: ${join(logDir, `${name}.log`)}`;
        giveUp(new ThawError('THAW_CLUSTER_START', refused));
        return options.onIncident(refused);
      }
      // On the port that it had, so that an open page finds it again; on another one when that is taken by now.
      const samePort = env.THAW_PORT === undefined ? env : { ...env, THAW_PORT: new URL(urlOf(child)).port };
      options.onIncident(`${what}; starting it again`);
      await startAgain(name, () => start(name, service, samePort).catch(() => start(name, service, env)));
    });
    return child;
  };
  /** Tries until it runs or the cluster stops, waiting longer and longer. */
  const startAgain = async (name: string, again: () => Promise<Child>): Promise<void> => {
    for (let failed = 0; ;) {
      await new Promise((done) => setTimeout(done, restarts.delayMs(name, performance.now())));
      if (stopping) return;
      try {
        await again();
        return publish();
      } catch (error) {
        if (stopping) return;
        const problem = `${name} could not be started again: ${(error as Error).message}`;
        options.onIncident(problem);
        failed += 1;
        if (failed === hopelessStarts) giveUp(new ThawError('THAW_CLUSTER_START', problem, { cause: error }));
      }
    }
  };
  const urlOf = (child: Child): string => String(child.ready.listening);
  let file: ClusterFile;
  let engine = 'of no trainer';
  const publish = (): void => {
    const named = (prefix: string): Child[] => started.filter((child) => child.name.startsWith(prefix));
    const [coordinator] = named('coordinator');
    if (coordinator === undefined || stopping) return;
    file = {
      format: 'thaw.cluster/1',
      pid: process.pid,
      startedMs: Date.now(),
      run: options.run,
      token,
      storeUrl: common.THAW_STORE_URL,
      broker: { url: broker.url, kind: broker.kind, version: broker.version },
      coordinator: { url: urlOf(coordinator), pid: coordinator.pid },
      trainers: named('trainer').map(({ name, pid }) => ({ name, pid })),
      samplers: named('sampler').map((child) => ({ name: child.name, url: urlOf(child), pid: child.pid })),
    };
    writeClusterFile(dir, file);
  };
  const stop = async (): Promise<void> => {
    stopping = true;
    for (const prefix of ['trainer', 'sampler', 'coordinator'])
      await Promise.all(started.filter((child) => child.name.startsWith(prefix)).map((child) => child.stop()));
    await broker.close();
    removeClusterFile(dir);
  };
  const http = { THAW_TOKEN: token, THAW_HOST: '127.0.0.1' };
  try {
    await start('coordinator', 'coordinator', {
      ...http,
      THAW_PORT: String(options.port),
      ...passedOn(['THAW_AUDIT_KEY']),
      // A gate judges evaluations: without any there is nothing to ask it.
      ...(options.evaluationImages === 0 ? {} : passedOn(['THAW_GATED_CHANNEL', 'THAW_GATE_MARGIN'])),
      ...(options.evaluationImages === undefined ? {} : { THAW_EVALUATION_IMAGES: String(options.evaluationImages) }),
      ...(system?.user === undefined
        ? {}
        : { THAW_NATS_SYSTEM_USER: system.user, THAW_NATS_SYSTEM_PASSWORD: system.pass ?? '' }),
    });
    const numbered = (count: number): number[] => Array.from({ length: count }, (_, i) => i);
    await Promise.all([
      ...numbered(options.trainers).map((i) =>
        start(`trainer-${i}`, 'trainer', {
          THAW_NAME: `trainer-${i}`,
          THAW_ENGINE: options.engine,
          ...(options.recompute === undefined ? {} : { THAW_RECOMPUTE: options.recompute }),
          THAW_CACHE_DIR: join(dir, 'cache', `trainer-${i}`),
        }),
      ),
      ...numbered(options.samplers).map((i) =>
        start(`sampler-${i}`, 'sampler', {
          ...http,
          THAW_PORT: '0',
          THAW_NAME: `sampler-${i}`,
          THAW_ENGINE: options.engine,
        }),
      ),
    ]);
    publish();
    const trainer = started.find(({ name }) => name.startsWith('trainer'));
    if (trainer !== undefined) engine = `${String(trainer.ready.engine)} (${String(trainer.ready.engineReason)})`;
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    get file() {
      return file;
    },
    engine,
    hopeless,
    stop,
  };
}

/** Settings of the caller's environment that a service gets as they are. */
const passedOn = (names: readonly string[]): Record<string, string> =>
  Object.fromEntries(names.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])));
