/** Samplers in process for tests: a model that needs no engine, a data set that needs no files. */
import type { AddressInfo } from 'node:net';
import { Health, silentLogger, systemClock, systemEntropy, type Logger } from '@thaw/shared/runtime';
import { pixelsToUnit } from '@thaw/shared/pixels';
import { ThawError } from '@thaw/shared/protocol';
import { MemoryStore, type ObjectStore } from '@thaw/shared/storage';
import type { FastifyInstance } from 'fastify';
import { addEstimateRoutes } from './io/estimate-routes.js';
import { addJobRoutes } from './io/job-routes.js';
import { createHttpServer, listen } from './io/http-server.js';
import { createImageCodec } from './io/image-codec.js';
import { serveFrames } from './io/frames-socket.js';
import { MemoryMeshHub } from './mesh/index.js';
import type {
  ImageShape,
  ModelSource,
  ModelVersion,
  RestorationModel,
  SamplerMesh,
  StepRow,
  TestImages,
} from './ports.js';
import { createSampler, type Sampler } from './sampler.js';
import type { CallReport } from './work/index.js';

export const shape: ImageShape = { height: 16, width: 16, channels: 1 };
const values = shape.height * shape.width * shape.channels;
export const token = 'a-token-for-tests-only';

export const versionAt = (step: number): ModelVersion => ({
  run: 'demo',
  step,
  manifestSha256: String(step % 10).repeat(64),
});

/** D(x, s) fades to zero; R undoes nine tenths of it. Each in float32, element by element. */
const degradeOne = (x0: Float32Array, severity: number, steps: number): Float32Array =>
  x0.map((value) => Math.fround(value * Math.fround(1 - severity / (steps + 1))));

export interface FakeModelOptions {
  readonly steps?: number;
  readonly batchSizes?: readonly number[];
  /** One hexadecimal digit; `f` unless given. */
  readonly fingerprint?: string;
  /** Awaited in every call. */
  readonly gate?: (rows: readonly StepRow[]) => Promise<void> | void;
}

export function fakeModel(version: ModelVersion, options: FakeModelOptions = {}): RestorationModel {
  const { steps = 6, batchSizes = [2, 4], gate, fingerprint = 'f' } = options;
  return {
    version,
    shape,
    steps,
    dataset: 'fake',
    family: 'blur',
    batchSizes,
    drawContext: () => ({}),
    async step(rows) {
      if (rows.length > batchSizes.at(-1)!) throw new Error('a call has too many rows');
      await gate?.(rows);
      return rows.map(({ x, severity, nextSeverity }) => {
        const estimate = x.map((value) => Math.fround(value * Math.fround(0.9 + 0.1 * severity + version.step / 1000)));
        const degraded = degradeOne(estimate, nextSeverity, steps);
        const from = degradeOne(estimate, severity, steps);
        return {
          estimate,
          degraded,
          improved: x.map((value, i) => Math.fround(Math.fround(value - from[i]!) + degraded[i]!)),
        };
      });
    },
    fingerprint: async () => ({ fields: {}, sha256: fingerprint.repeat(64) }),
    hold: () => () => undefined,
    degrade: async (rows) => rows.map(({ x0, severity }) => degradeOne(x0, severity, steps)),
  };
}

/** Channels and versions that a test moves. */
export class FakeModels implements ModelSource {
  readonly heads = new Map<string, ModelVersion>([['latest', versionAt(3)]]);
  /** Steps whose bytes do not verify. */
  readonly corrupt = new Set<number>();
  readonly loads: number[] = [];
  readonly #options: FakeModelOptions;
  readonly #loaded = new Map<number, RestorationModel>();

  constructor(options: FakeModelOptions = {}) {
    this.#options = options;
  }

  async headOf(channel: string): Promise<ModelVersion | undefined> {
    return this.heads.get(channel);
  }
  async versionOf(run: string, step: number): Promise<ModelVersion> {
    if (run !== 'demo' || step > 100)
      throw new ThawError('THAW_CHECKPOINT_NOT_FOUND', `Run ${run} has no checkpoint ${step}.`);
    return versionAt(step);
  }
  async newestOf(run: string): Promise<ModelVersion | undefined> {
    return run === 'demo' ? versionAt(9) : undefined;
  }
  async load(version: ModelVersion): Promise<RestorationModel> {
    if (this.corrupt.has(version.step))
      throw new ThawError('THAW_BLOB_CORRUPT', `The weights of step ${version.step} do not match.`);
    const model = this.#loaded.get(version.step) ?? fakeModel(version, this.#options);
    if (!this.#loaded.has(version.step)) this.loads.push(version.step);
    this.#loaded.set(version.step, model);
    return model;
  }
  loaded(): ModelVersion[] {
    return [...this.#loaded.values()].map((model) => model.version);
  }
}

/** Image i has pixels that no other image has. */
export const fakeTestImages: TestImages = {
  count: async () => 100,
  image: async (_dataset, _split, index) =>
    pixelsToUnit(Uint8Array.from({ length: values }, (_, i) => (i * 7 + index * 31) % 256)),
  meanTrain: async () => new Float32Array(values).fill(127.5),
};

export interface Harness extends Sampler {
  readonly name: string;
  readonly models: FakeModels;
  readonly store: ObjectStore;
  readonly mesh: SamplerMesh;
  readonly calls: CallReport[];
  readonly close: () => Promise<void>;
}

export interface HarnessOptions extends FakeModelOptions {
  readonly store?: ObjectStore;
  readonly hub?: MemoryMeshHub;
  readonly name?: string;
  readonly models?: FakeModels;
  readonly testImages?: TestImages;
  readonly logger?: Logger;
  readonly maxQueuedRows?: number;
  readonly maxRows?: number;
  readonly detectionMs?: number;
}

export async function startHarness(options: HarnessOptions = {}): Promise<Harness> {
  const {
    store = new MemoryStore(),
    hub = new MemoryMeshHub(),
    name = 'sampler-a',
    models = new FakeModels(options),
  } = options;
  const { maxQueuedRows = 32, maxRows = 16, detectionMs = 1600, logger = silentLogger } = options;
  const calls: CallReport[] = [];
  const mesh = hub.join();
  const sampler = createSampler({
    name,
    store,
    models,
    mesh,
    logger,
    config: { run: undefined, channel: 'latest', pollMs: 60_000, maxRows, workers: 1, maxQueuedRows, detectionMs },
    testImages: options.testImages ?? fakeTestImages,
    images: createImageCodec({ maxPixels: 1_000_000 }),
    clock: systemClock,
    entropy: systemEntropy,
    onCall: (report) => calls.push(report),
  });
  sampler.start();
  await sampler.follower.look();
  const close = async (): Promise<void> => {
    await sampler.leave();
    await mesh.close();
  };
  return { ...sampler, name, models, store, mesh, calls, close };
}

export interface Door {
  readonly url: string;
  readonly app: FastifyInstance;
  readonly close: () => Promise<void>;
  readonly call: (path: string, init?: RequestInit) => Promise<Response>;
}

export async function openDoor(
  sampler: Harness,
  options: { maxWaitMs?: number; maxBodyBytes?: number; port?: number } = {},
): Promise<Door> {
  const rules = { token, host: '127.0.0.1', allowedHosts: [], allowedOrigins: ['https://friend.example'] };
  const health = new Health();
  const images = createImageCodec({ maxPixels: 1_000_000 });
  const { maxBodyBytes = 1 << 20, maxWaitMs = 5000, port = 0 } = options;
  const app = await createHttpServer({ ...rules, maxBodyBytes, health, clock: systemClock, logger: silentLogger });
  addJobRoutes(app, { service: sampler.service, images, maxWaitMs });
  addEstimateRoutes(app, sampler);
  const { service, jobs, frames } = sampler;
  const closeFrames = serveFrames(app.server, {
    ...rules,
    service,
    jobs,
    frames,
    clock: systemClock,
    logger: silentLogger,
    maxWatchers: 4,
  });
  await listen(app, { ...rules, port });
  const url = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`;
  return {
    url,
    app,
    call: (path, init = {}) =>
      fetch(url + path, { ...init, headers: { authorization: `Bearer ${token}`, ...init.headers } }),
    close: async () => {
      closeFrames();
      await app.close();
    },
  };
}

/** Waits for a condition, looking again every few milliseconds. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string,
  limitMs = 50_000,
): Promise<void> {
  const endMs = performance.now() + limitMs;
  while (!(await condition())) {
    if (performance.now() > endMs) throw new Error(`${what} did not happen within ${limitMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
