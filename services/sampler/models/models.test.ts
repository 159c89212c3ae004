import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadManifest, packDataset, type ImageSource } from '@thaw/shared/data';
import {
  algorithm2Update,
  degradationOf,
  degradationProgram,
  restorationProgram,
  tableInputs,
} from '@thaw/shared/diffusion';
import { openEngine, toStored, type Engine } from '@thaw/shared/engine';
import { fromOfficial, initialWeights, networkWeightSpecs, toOfficial } from '@thaw/shared/model';
import { RunConfigSchema } from '@thaw/shared/protocol';
import { RandomStream, silentLogger } from '@thaw/shared/runtime';
import { createRun, MemoryStore, promote, writeCheckpoint, type StateTensor } from '@thaw/shared/storage';
import { parseJobRequest } from '../jobs/index.js';
import type { ModelVersion, StepRow } from '../ports.js';
import { startHarness } from '../sampler.fixture.js';
import { CheckpointModels, datasetImages } from './index.js';

const run = RunConfigSchema.parse({
  format: 'thaw.run/1',
  name: 'tiny',
  seed: 1,
  data: { dataset: 'dots', size: 16, channels: 1 },
  degradation: { family: 'blur', steps: 4, routine: 'Constant', kernelSize: 5, kernelStd: 1 },
  network: { kind: 'convnext-unet', dim: 8, mults: [1, 2], residual: true },
  optimizer: { learningRate: 1e-3 },
  batch: { global: 4, micro: 2 },
  steps: 10,
});

/** Images of 18 x 18, so that the model's 16 x 16 is a cut. */
const dots = (count: number, seed: number): ImageSource => ({
  identity: `dots:${count}:${seed}`,
  count,
  async *items(from) {
    for (let i = from; i < count; i++) {
      const stream = new RandomStream(seed, 'probe', i);
      const pixels = Uint8Array.from({ length: 18 * 18 }, () => stream.below(256));
      yield { kind: 'image', name: `dot ${i}`, width: 18, height: 18, channels: 1, pixels };
    }
  },
});

const specs = networkWeightSpecs(run.network, run.data);

async function checkpoint(store: MemoryStore, step: number, configSha256: string): Promise<ModelVersion> {
  const weights = initialWeights(run.network, run.data, run.seed + step);
  const tensors: Record<string, StateTensor> = {};
  for (const [name, spec] of Object.entries(specs)) {
    const data = toOfficial(spec, weights[name]!);
    for (const group of ['weights', 'ema'])
      tensors[`${group}/${name}`] = { dtype: 'F32', shape: spec.officialShape, data };
  }
  const { contentSha256 } = await loadManifest(store, 'dots');
  const { manifestSha256 } = await writeCheckpoint(
    store,
    {
      run: run.name,
      parent: null,
      configSha256,
      dataset: { name: 'dots', sha256: contentSha256 },
      fingerprint: 'test',
      createdMs: 0,
    },
    {
      step,
      epoch: 0,
      stepOfEpoch: step,
      beta1Product: 1,
      beta2Product: 1,
      historyDigest: '',
      skippedInARow: 0,
      tensors,
    },
    2,
  );
  return { run: run.name, step, manifestSha256 };
}

let engine: Engine;
let store: MemoryStore;
let version: ModelVersion;
let models: CheckpointModels;
let configSha256: string;
beforeAll(async () => {
  engine = await openEngine({ kind: 'onnx-cpu' });
  store = new MemoryStore();
  await packDataset(
    store,
    { train: dots(20, 1), test: dots(9, 2) },
    { name: 'dots', preprocessing: { method: 'none' }, shardBytes: 4 * 18 * 18 },
  );
  ({ configSha256 } = await createRun(store, run));
  version = await checkpoint(store, 1, configSha256);
  models = new CheckpointModels({ store, engine, batchSizes: [2, 4], keepVersions: 2, logger: silentLogger });
}, 60_000);
afterAll(async () => {
  await models.close();
  await engine.close();
});

const randomRow = (seed: number, severity: number): StepRow => {
  const stream = new RandomStream(seed, 'sampling');
  return {
    x: Float32Array.from({ length: 256 }, () => 2 * stream.uniform() - 1),
    severity,
    nextSeverity: severity - 1,
    context: {},
  };
};

describe('a model from a checkpoint', () => {
  it('computes the network, Algorithm 1 and Algorithm 2 of the official definitions', async () => {
    const model = await models.load(version);
    const rows = [randomRow(1, 4), randomRow(2, 2), randomRow(3, 1)];
    const outputs = await model.step(rows);
    const degradation = degradationOf(run);
    const restoration = await engine.load(restorationProgram(run, 2));
    const degrade = await engine.load(degradationProgram(run, 2, degradation));
    const weights = Object.fromEntries(
      restoration.weights.map((stored) => {
        const spec = specs[stored.name]!;
        return [
          stored.name,
          toStored(
            stored,
            fromOfficial(spec, toOfficial(spec, initialWeights(run.network, run.data, run.seed + 1)[stored.name]!)),
          ),
        ];
      }),
    );
    const twice = (image: Float32Array): Float32Array => Float32Array.from([...image, ...image]);
    const half = (images: ArrayLike<number> | undefined): Float32Array =>
      Float32Array.from(Array.from(images!).slice(0, 256));
    const d = async (x0: Float32Array, s: number): Promise<Float32Array> =>
      half(
        (
          await degrade.run({
            weights: {},
            inputs: { x0: twice(x0), severity: Int32Array.of(s, s), ...tableInputs(degradation) },
          })
        ).degraded,
      );
    const near = (a: Float32Array, b: Float32Array): number =>
      Math.max(...a.map((value, i) => Math.abs(value - b[i]!)));
    for (const [i, { x, severity, nextSeverity }] of rows.entries()) {
      const estimate = half(
        (await restoration.run({ weights, inputs: { x: twice(x), t: Float32Array.of(severity - 1, severity - 1) } }))
          .restored,
      );
      expect(near(outputs[i]!.estimate, estimate)).toBeLessThan(1e-5);
      expect(near(estimate, x)).toBeGreaterThan(1e-3);
      const next = await d(estimate, nextSeverity);
      expect(near(outputs[i]!.degraded, next)).toBeLessThan(1e-5);
      expect(near(outputs[i]!.improved, algorithm2Update(x, await d(estimate, severity), next))).toBeLessThan(1e-5);
    }
  });

  it('gives a row the same bits alone and among any neighbours', async () => {
    const model = await models.load(version);
    expect(model.batchSizes.at(-1)).toBe(4);
    const row = randomRow(7, 3);
    const [alone] = await model.step([row]);
    const crowded = await model.step([randomRow(8, 1), randomRow(9, 4), row, randomRow(10, 2)]);
    const pair = await model.step([randomRow(11, 4), row]);
    expect(crowded[2]).toEqual(alone);
    expect(pair[1]).toEqual(alone);
    expect(crowded[0]!.estimate).not.toEqual(alone!.estimate);
  });

  it('has a fingerprint that weights and batch decide, and nothing else here', async () => {
    const open = (batchSizes: number[]): CheckpointModels =>
      new CheckpointModels({ store, engine, batchSizes, keepVersions: 2, logger: silentLogger });
    const [again, larger] = [open([4]), open([2, 6])];
    const of = async (source: CheckpointModels, which: ModelVersion): Promise<string> =>
      (await (await source.load(which)).fingerprint()).sha256;
    const own = await of(models, version);
    expect(own).toMatch(/^[0-9a-f]{64}$/);
    expect(await of(again, version)).toBe(own);
    expect(await of(larger, version)).not.toBe(own);
    expect(await of(again, await checkpoint(store, 8, configSha256))).not.toBe(own);
    await Promise.all([again.close(), larger.close()]);
    expect((await models.newestOf('tiny'))?.step).toBe(8);
  });

  it('computes the same with weights given at every call, versions in turn, each with its own', async () => {
    const options = { store, engine, batchSizes: [2, 4], keepVersions: 1, logger: silentLogger };
    const given = new CheckpointModels({ ...options, weights: 'given' });
    const other = await checkpoint(store, 7, configSha256);
    const rows = [randomRow(1, 4), randomRow(2, 2), randomRow(3, 1)];
    const near = (a: Float32Array, b: Float32Array): number =>
      Math.max(...a.map((value, i) => Math.abs(value - b[i]!)));
    // The first is given up while it is held, and used again after the second.
    const model = await given.load(version);
    const release = model.hold();
    const first = await model.step(rows);
    const second = await (await given.load(other)).step(rows);
    expect(await model.step(rows)).toEqual(first);
    release();
    for (const [which, outputs] of [
      [version, first],
      [other, second],
    ] as const) {
      const expected = await (await models.load(which)).step(rows);
      outputs.forEach(({ improved }, i) => expect(near(improved, expected[i]!.improved)).toBeLessThan(1e-5));
    }
    expect(near(first[0]!.improved, second[0]!.improved)).toBeGreaterThan(1e-3);
    await given.close();
  });

  it('degrades start images, any number of them', async () => {
    const model = await models.load(version);
    const rows = Array.from({ length: 5 }, (_, i) => ({ x0: randomRow(i, 1).x, severity: i, context: {} }));
    const degraded = await model.degrade(rows);
    expect(degraded[0]).toEqual(rows[0]!.x0);
    const spread = (image: Float32Array): number => Math.max(...image) - Math.min(...image);
    expect(spread(degraded[4]!)).toBeLessThan(spread(rows[4]!.x0));
  });

  it('keeps so many versions and shares the compiled programs', async () => {
    const second = await checkpoint(store, 2, configSha256);
    const third = await checkpoint(store, 3, configSha256);
    const [a, b] = [await models.load(version), await models.load(second)];
    await models.load(third);
    expect(
      models
        .loaded()
        .map(({ step }) => step)
        .sort(),
    ).toEqual([2, 3]);
    const row = randomRow(1, 2);
    expect((await a.step([row]))[0]!.estimate).not.toEqual((await b.step([row]))[0]!.estimate);
    expect((await (await models.load(version)).step([row]))[0]).toEqual((await a.step([row]))[0]);
  });
});

describe('what does not verify', () => {
  it('is not loaded: corrupt weights, another manifest, another configuration, nothing at all', async () => {
    const corrupt = await checkpoint(store, 4, configSha256);
    const key = await anyBlobOf(4);
    const bytes = (await store.get(key))!.bytes;
    bytes[bytes.length - 1]! ^= 1;
    await store.put(key, bytes);
    await expect(models.load(corrupt)).rejects.toMatchObject({ code: 'THAW_BLOB_CORRUPT' });
    await expect(models.load({ ...version, manifestSha256: 'f'.repeat(64) })).rejects.toMatchObject({
      code: 'THAW_CHECKPOINT_INVALID',
    });
    await expect(models.load(await checkpoint(store, 5, 'e'.repeat(64)))).rejects.toMatchObject({
      code: 'THAW_CHECKPOINT_INVALID',
    });
    await expect(models.versionOf('tiny', 77)).rejects.toMatchObject({ code: 'THAW_CHECKPOINT_NOT_FOUND' });
    expect(models.loaded().map(({ step }) => step)).not.toContain(4);
    // A repaired store is believed again.
    bytes[bytes.length - 1]! ^= 1;
    await store.put(key, bytes);
    await models.load(corrupt);
  });

  async function anyBlobOf(step: number): Promise<string> {
    const manifest = JSON.parse(
      new TextDecoder().decode(
        (await store.get(`runs/tiny/checkpoints/${String(step).padStart(10, '0')}.json`))!.bytes,
      ),
    ) as {
      slices: { sha256: string }[];
    };
    return `blobs/sha256/${manifest.slices[0]!.sha256}`;
  }
});

describe('the whole', () => {
  it('follows a channel of the store and samples test images reproducibly', async () => {
    const fresh = new CheckpointModels({ store, engine, batchSizes: [2, 4], keepVersions: 2, logger: silentLogger });
    expect(await fresh.headOf('latest')).toBeUndefined();
    await promote(store, 'latest', { run: 'tiny', step: 1 }, { actor: 'test', timeMs: 0 });
    expect(await fresh.headOf('latest')).toEqual(version);
    const sampler = await startHarness({ store, models: fresh as never, testImages: datasetImages(store) });
    const draw = async (): Promise<Uint8Array[]> => {
      const { id } = await sampler.service.submit(parseJobRequest({ count: 3, seed: 7 }));
      expect(await sampler.service.waitForEnd(id, 50_000)).toMatchObject({
        state: 'done',
        version: 1,
        dataset: 'dots',
      });
      return Promise.all([0, 1, 2].map((row) => sampler.service.resultBytes(id, row)));
    };
    const [first, second] = [await draw(), await Promise.all([draw(), draw()])];
    expect(second[0]).toEqual(first);
    expect(second[1]).toEqual(first);
    await sampler.close();
  });

  it('reads test images and the mean cut to the model', async () => {
    const images = datasetImages(store);
    expect(await images.count('dots', 'test')).toBe(9);
    const shape = { height: 16, width: 16, channels: 1 };
    const image = await images.image('dots', 'test', 8, shape);
    const stream = new RandomStream(2, 'probe', 8);
    const pixels = Uint8Array.from({ length: 18 * 18 }, () => stream.below(256));
    expect(image[0]).toBeCloseTo((pixels[19]! / 255) * 2 - 1, 6);
    expect((await images.meanTrain('dots', shape)).length).toBe(256);
    await expect(images.image('dots', 'test', 9, shape)).rejects.toMatchObject({ code: 'THAW_DATA_INVALID' });
    await expect(images.image('dots', 'test', 0, { ...shape, channels: 3 })).rejects.toMatchObject({
      code: 'THAW_DATA_INVALID',
    });
    await expect(images.count('absent', 'test')).rejects.toMatchObject({ code: 'THAW_DATASET_NOT_FOUND' });
  });
});
