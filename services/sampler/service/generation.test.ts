import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openEngine, type Engine } from '@thaw/shared/engine';
import { initialWeights, networkWeightSpecs, toOfficial } from '@thaw/shared/model';
import { priorKey, RunConfigSchema, type ModelVersion } from '@thaw/shared/protocol';
import { silentLogger } from '@thaw/shared/runtime';
import {
  createRun,
  decodeSafetensors,
  MemoryStore,
  promote,
  writeCheckpoint,
  type StateTensor,
} from '@thaw/shared/storage';
import { parseJobRequest } from '../jobs/index.js';
import { CheckpointModels } from '../models/index.js';
import { startHarness } from '../sampler.fixture.js';
import { generationFrom } from './generation.js';

const run = RunConfigSchema.parse({
  format: 'thaw.run/1',
  name: 'faces',
  seed: 1,
  data: { dataset: 'none', size: 8, channels: 3 },
  degradation: { family: 'blur', steps: 3, routine: 'Exponential', kernelSize: 5, kernelStd: 0.5, discrete: true },
  network: { kind: 'convnext-unet', dim: 8, mults: [1, 2], residual: true },
  optimizer: { learningRate: 1e-3 },
  batch: { global: 4, micro: 2 },
  steps: 10,
});
const prior = {
  format: 'thaw.prior/1',
  run: 'faces',
  dataset: { name: 'none', sha256: 'f'.repeat(64) },
  images: 10,
  seed: 0,
  iterations: 2,
  logLikelihood: 1,
  mixture: {
    weights: [1],
    means: [[0.2, -0.1, 0.4]],
    covariances: [
      [
        [0.01, 0, 0],
        [0, 0.01, 0.002],
        [0, 0.002, 0.02],
      ],
    ],
  },
};

let engine: Engine;
let store: MemoryStore;
let version: ModelVersion;
beforeAll(async () => {
  engine = await openEngine({ kind: 'onnx-cpu' });
  store = new MemoryStore();
  const { configSha256 } = await createRun(store, run);
  const weights = initialWeights(run.network, run.data, 3);
  const tensors: Record<string, StateTensor> = {};
  for (const [name, spec] of Object.entries(networkWeightSpecs(run.network, run.data)))
    for (const group of ['weights', 'ema'])
      tensors[`${group}/${name}`] = { dtype: 'F32', shape: spec.officialShape, data: toOfficial(spec, weights[name]!) };
  const { manifestSha256 } = await writeCheckpoint(
    store,
    {
      run: run.name,
      parent: null,
      configSha256,
      dataset: { name: 'none', sha256: 'f'.repeat(64) },
      fingerprint: 'test',
      createdMs: 0,
    },
    {
      step: 1,
      epoch: 0,
      stepOfEpoch: 1,
      beta1Product: 1,
      beta2Product: 1,
      historyDigest: '',
      skippedInARow: 0,
      tensors,
    },
    2,
  );
  version = { run: run.name, step: 1, manifestSha256 };
  await promote(store, 'latest', { run: run.name, step: 1 }, { actor: 'test', timeMs: 0 });
}, 60_000);
afterAll(() => engine.close());

describe('a job that generates', () => {
  it('needs a prior for blur, and starts from its colours', async () => {
    const models = new CheckpointModels({ store, engine, batchSizes: [2], keepVersions: 2, logger: silentLogger });
    const sampler = await startHarness({ store, models: models as never });
    const submit = (request: object) =>
      sampler.service.submit(parseJobRequest({ mode: 'generate', seed: 5, ...request }));
    await expect(submit({})).rejects.toMatchObject({ code: 'THAW_PRIOR_MISSING' });
    await store.put(priorKey('faces'), new TextEncoder().encode(JSON.stringify(prior)));

    const generate = async (request: object) => {
      const { id } = await submit({ count: 2, ...request });
      expect(await sampler.service.waitForEnd(id, 20_000)).toMatchObject({
        state: 'done',
        mode: 'generate',
        severity: 3,
      });
      const rows = await Promise.all([0, 1].map((row) => sampler.service.resultBytes(id, row)));
      return { rows, images: rows.map((bytes) => decodeSafetensors(bytes).tensors) };
    };
    const means = (x: ArrayLike<number>): number[] =>
      [0, 1, 2].map((c) => Array.from(x).reduce((sum, v, i) => (i % 3 === c ? sum + v / 64 : sum), 0));

    const flat = await generate({ noise: 0 });
    for (const { degraded, sampled, original } of flat.images) {
      expect(original).toBeUndefined();
      expect(new Set(degraded!.data as Float32Array).size).toBe(3);
      // Blur with wrapped borders keeps the drawn colour to the end, whatever the network does.
      means(sampled!.data as Float32Array).forEach((mean, c) =>
        expect(mean).toBeCloseTo((degraded!.data as Float32Array)[c]!, 5),
      );
    }
    expect(flat.images[0]!.degraded!.data).not.toEqual(flat.images[1]!.degraded!.data);
    expect((await generate({ noise: 0 })).rows).toEqual(flat.rows);

    const broken = await generate({});
    const difference = (broken.images[0]!.degraded!.data as Float32Array).map(
      (v, i) => v - (flat.images[0]!.degraded!.data as Float32Array)[i]!,
    );
    const deviation = Math.sqrt(difference.reduce((sum, v) => sum + v * v, 0) / difference.length);
    expect(deviation).toBeGreaterThan(0.0015);
    expect(deviation).toBeLessThan(0.0025);
    await sampler.close();
  }, 60_000);

  it('names what it cannot start from', async () => {
    const shape = { height: 8, width: 8, channels: 1 };
    const nothing = { shape, version, generationStart: () => 'nothing' as const };
    expect(await generationFrom({}, nothing, {})).toBeUndefined();
    await expect(generationFrom({ noise: 0 }, nothing, {})).rejects.toMatchObject({ code: 'THAW_JOB_INVALID' });
    const blur = { shape, version, generationStart: () => 'prior' as const };
    await expect(generationFrom({}, blur, { priorOf: async () => prior.mixture })).rejects.toThrow('has 3 channels');
  });
});
