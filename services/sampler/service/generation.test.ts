import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { packDataset, type ImageSource } from '@thaw/shared/data';
import { openEngine, type Engine } from '@thaw/shared/engine';
import { initialWeights, networkWeightSpecs, toOfficial } from '@thaw/shared/model';
import { priorKey, RunConfigSchema, type RunConfig } from '@thaw/shared/protocol';
import { silentLogger } from '@thaw/shared/runtime';
import {
  createRun,
  decodeSafetensors,
  encodeSafetensors,
  MemoryStore,
  promote,
  storePrior as storeNextPrior,
  writeCheckpoint,
  type StateTensor,
} from '@thaw/shared/storage';
import { parseJobRequest } from '../jobs/index.js';
import { CheckpointModels, datasetImages } from '../models/index.js';
import { startHarness, type Harness } from '../sampler.fixture.js';
import { generationFrom } from './generation.js';

const base = {
  format: 'thaw.run/1',
  seed: 1,
  data: { dataset: 'animals', size: 8, channels: 3 },
  network: { kind: 'convnext-unet', dim: 8, mults: [1], residual: true },
  optimizer: { learningRate: 1e-3 },
  batch: { global: 4, micro: 2 },
  steps: 10,
};
const runOf = (name: string, degradation: object): RunConfig => RunConfigSchema.parse({ ...base, name, degradation });
const blur = { family: 'blur', steps: 3, routine: 'Exponential', kernelSize: 5, kernelStd: 0.5, discrete: true };
const runs = {
  faces: runOf('faces', blur),
  halved: runOf('halved', { family: 'super-resolution', steps: 2, routine: 'Incremental_factor_2' }),
  painted: runOf('painted', { family: 'colour-mask', steps: 3, kernelStd: 0.5, initialMask: 1, reverse: true }),
  hot: runOf('hot', { family: 'noise', steps: 3 }),
  animorphosis: runOf('animorphosis', { family: 'animorphosis', steps: 3, partners: 'animals' }),
  faded: runOf('faded', { family: 'decolorization', steps: 3, routine: 'Linear' }),
};
type RunName = keyof typeof runs;

const diagonal = (count: number, value: number): number[][] =>
  Array.from({ length: count }, (_, a) => Array.from({ length: count }, (_, b) => (a === b ? value : 0)));
const priorOf = (run: RunName, edge: number, severity: number) => ({
  format: 'thaw.prior/1',
  run,
  severity,
  edge,
  dataset: { name: 'animals', sha256: 'f'.repeat(64) },
  images: 10,
  seed: 0,
  iterations: 2,
  logLikelihood: 1,
  mixture: {
    weights: [1],
    means: [Array.from({ length: edge * edge * 3 }, (_, i) => 0.1 * ((i % 7) - 3))],
    covariances: [diagonal(edge * edge * 3, 0.01)],
  },
});

/** Animal i is of one colour, i. */
const animals: ImageSource = {
  identity: 'animals',
  count: 6,
  async *items(from) {
    for (let i = from; i < 6; i++)
      yield { kind: 'image', name: `${i}`, width: 8, height: 8, channels: 3, pixels: new Uint8Array(192).fill(40 * i) };
  },
};

let engine: Engine;
let store: MemoryStore;
let sampler: Harness;
let models: CheckpointModels;
beforeAll(async () => {
  engine = await openEngine({ kind: 'onnx-cpu' });
  store = new MemoryStore();
  await packDataset(store, { train: animals, test: animals }, { name: 'animals', preprocessing: { method: 'none' } });
  for (const run of Object.values(runs)) {
    const { configSha256 } = await createRun(store, run);
    const weights = initialWeights(run.network, run.data, 3);
    const tensors: Record<string, StateTensor> = {};
    for (const [name, spec] of Object.entries(networkWeightSpecs(run.network, run.data)))
      for (const group of ['weights', 'ema'])
        tensors[`${group}/${name}`] = {
          dtype: 'F32',
          shape: spec.officialShape,
          data: toOfficial(spec, weights[name]!),
        };
    await writeCheckpoint(
      store,
      {
        run: run.name,
        parent: null,
        configSha256,
        dataset: { name: 'animals', sha256: 'f'.repeat(64) },
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
  }
  await promote(store, 'latest', { run: 'faces', step: 1 }, { actor: 'test', timeMs: 0 });
  models = new CheckpointModels({ store, engine, batchSizes: [2], keepVersions: 8, logger: silentLogger });
  sampler = await startHarness({ store, models: models as never, testImages: datasetImages(store) });
}, 60_000);
afterAll(async () => {
  await sampler.close();
  await models.close();
  await engine.close();
});

interface Images {
  readonly [name: string]: Float32Array;
}

const submit = (run: RunName, request: object) =>
  sampler.service.submit(parseJobRequest({ mode: 'generate', seed: 5, version: 1, run, ...request }));

/** Two rows of a job. */
async function rowsOf(run: RunName, request: object = {}): Promise<{ rows: Uint8Array[]; images: Images[] }> {
  const { id } = await submit(run, { count: 2, ...request });
  expect(await sampler.service.waitForEnd(id, 50_000)).toMatchObject({ state: 'done' });
  const rows = await Promise.all([0, 1].map((row) => sampler.service.resultBytes(id, row)));
  const images = rows.map((bytes) =>
    Object.fromEntries(
      Object.entries(decodeSafetensors(bytes).tensors).map(([name, { data }]) => [name, data as Float32Array]),
    ),
  );
  return { rows, images };
}
const storePrior = (prior: ReturnType<typeof priorOf>): Promise<unknown> =>
  store.put(priorKey(prior.run), new TextEncoder().encode(JSON.stringify(prior)));
/** Of the channels of an image of 8 x 8. */
const means = (x: Float32Array): number[] =>
  [0, 1, 2].map((c) => x.reduce((sum, value, i) => (i % 3 === c ? sum + value / 64 : sum), 0));
const deviation = (a: Float32Array, b: Float32Array): number =>
  Math.sqrt(a.reduce((sum, value, i) => sum + (value - b[i]!) ** 2, 0) / a.length);

describe('a job that generates', () => {
  it.each(['faces', 'halved'] as const)('%s: is refused while there is no prior', async (run) => {
    await expect(submit(run, {})).rejects.toMatchObject({ code: 'THAW_PRIOR_MISSING' });
  });

  it('by blur starts from colours of the prior, and keeps them', async () => {
    await storePrior(priorOf('faces', 1, 3));
    const flat = await rowsOf('faces', { noise: 0 });
    for (const { degraded, sampled, original } of flat.images) {
      expect(original).toBeUndefined();
      expect(new Set(degraded).size).toBe(3);
      // Blur with wrapped borders keeps the drawn colour to the end, whatever the network does.
      means(sampled!).forEach((mean, c) => expect(mean).toBeCloseTo(degraded![c]!, 5));
    }
    expect(flat.images[0]!.degraded).not.toEqual(flat.images[1]!.degraded);
    expect((await rowsOf('faces', { noise: 0 })).rows).toEqual(flat.rows);

    const broken = await rowsOf('faces');
    const spread = deviation(broken.images[0]!.degraded!, flat.images[0]!.degraded!);
    expect(spread).toBeGreaterThan(0.0015);
    expect(spread).toBeLessThan(0.0025);
  }, 60_000);

  it('by super-resolution starts from a few pixels, at the severity that the prior was fitted at', async () => {
    await storePrior(priorOf('halved', 4, 1));
    const { images } = await rowsOf('halved');
    for (const { degraded, sampled } of images) {
      expect(new Set(degraded).size).toBe(48);
      expect(sampled!.every(Number.isFinite)).toBe(true);
      expect(sampled).not.toEqual(degraded);
    }
    const { id } = await submit('halved', {});
    expect(await sampler.service.status(id)).toMatchObject({ severity: 1 });
  }, 60_000);

  it('by colour masks starts from a colour; noise is added to the start only when asked for', async () => {
    const plain = await rowsOf('painted');
    for (const { degraded, sampled } of plain.images) {
      expect(new Set(degraded).size).toBe(3);
      expect(degraded!.every((value) => Math.abs(value) <= 0.5)).toBe(true);
      expect(sampled!.every(Number.isFinite)).toBe(true);
    }
    expect(plain.images[0]!.degraded).not.toEqual(plain.images[1]!.degraded);
    const noisy = await rowsOf('painted', { noise: 0.01 });
    expect(deviation(noisy.images[0]!.degraded!, plain.images[0]!.degraded!)).toBeCloseTo(0.01, 2);
  }, 60_000);

  it('by animorphosis starts from a picture of the partner set, the same for the same seed', async () => {
    const first = await rowsOf('animorphosis', { seed: 1 });
    for (const { degraded, sampled } of first.images) {
      expect(new Set(degraded).size).toBe(1);
      const byte = ((degraded![0]! + 1) / 2) * 255;
      expect(Math.abs(byte / 40 - Math.round(byte / 40))).toBeLessThan(1e-3);
      expect(sampled).not.toEqual(degraded);
    }
    expect((await rowsOf('animorphosis', { seed: 1 })).rows).toEqual(first.rows);
    const seen = await Promise.all([2, 3, 4].map((seed) => rowsOf('animorphosis', { seed })));
    expect(new Set(seen.flatMap(({ images }) => images.map(({ degraded }) => degraded![0]))).size).toBeGreaterThan(1);
  }, 60_000);

  it('hot starts from noise, with it fixed or estimated, and takes no more of it', async () => {
    const [fixed, estimated] = [await rowsOf('hot'), await rowsOf('hot', { sampler: 'ddim' })];
    const { degraded, sampled } = fixed.images[0]!;
    expect(deviation(degraded!, new Float32Array(192))).toBeGreaterThan(0.8);
    expect(estimated.images[0]!.degraded).toEqual(degraded);
    expect(estimated.images[0]!.sampled).not.toEqual(sampled);
    await expect(submit('hot', { noise: 0.1 })).rejects.toMatchObject({ code: 'THAW_JOB_INVALID' });
  }, 60_000);

  it('hot by Algorithm 1 keeps its noise, or draws new noise for every state: D(xhat, z_s, s)', async () => {
    const [kept, fresh] = [{ sampler: 'algorithm1' }, { sampler: 'algorithm1', freshNoise: true }];
    const [fixed, drawn] = [await rowsOf('hot', kept), await rowsOf('hot', fresh)];
    expect((await rowsOf('hot', fresh)).rows).toEqual(drawn.rows);
    expect(drawn.images[0]!.degraded).toEqual(fixed.images[0]!.degraded);
    const model = await models.load(await models.versionOf('hot', 1));
    const noises = [1, 2, 3].map((severity) => model.redrawContext!(5, 1, severity).partner!);
    for (const noise of noises) expect(deviation(noise, new Float32Array(192))).toBeGreaterThan(0.8);
    for (const [a, b] of [
      [0, 1],
      [1, 2],
    ] as const)
      expect(deviation(noises[a]!, noises[b]!)).toBeGreaterThan(1);
    for (const [{ images }, redraw] of [
      [fixed, undefined],
      [drawn, model.redrawContext],
    ] as const) {
      const context = await model.drawContext(5, 1);
      let x = images[1]!.degraded!;
      for (const severity of [3, 2, 1]) {
        const nextSeverity = severity - 1;
        const [{ estimate } = { estimate: x }] = await model.step([{ x, severity, nextSeverity, context }]);
        const mixed = redraw?.(5, 1, nextSeverity) ?? context;
        x =
          nextSeverity === 0
            ? estimate
            : (await model.degrade([{ x0: estimate, severity: nextSeverity, context: mixed }]))[0]!;
      }
      expect(deviation(images[1]!.sampled!, x)).toBeLessThan(1e-5);
    }
    expect(drawn.images[1]!.sampled).not.toEqual(fixed.images[1]!.sampled);
    await expect(submit('faces', { mode: 'sample', ...fresh })).rejects.toThrow('freshNoise: the degradation "blur"');
  }, 60_000);

  it('starts at fewer severities than its image is degraded to', async () => {
    const request = { mode: 'sample', seed: 2 };
    const [whole, part] = [await rowsOf('faces', request), await rowsOf('faces', { ...request, sampleSteps: 2 })];
    expect(part.images[0]!.degraded).toEqual(whole.images[0]!.degraded);
    expect(part.images[0]!.sampled).not.toEqual(whole.images[0]!.sampled);
    const model = await models.load(await models.versionOf('faces', 1));
    let x = part.images[0]!.degraded!;
    for (const severity of [2, 1])
      x = (await model.step([{ x, severity, nextSeverity: severity - 1, context: {} }]))[0]!.improved;
    expect(part.images[0]!.sampled).toEqual(x);
    await expect(submit('faces', { ...request, sampleSteps: 4 })).rejects.toThrow('sampleSteps: 4 was asked for');
  }, 60_000);

  it('is refused where the image never is lost, and for priors of other images', async () => {
    await expect(submit('faded', {})).rejects.toThrow('nothing can be generated with the degradation "decolorization"');
    const shape = { height: 8, width: 8, channels: 1 };
    const version = { run: 'faces', step: 1, manifestSha256: 'a'.repeat(64) };
    const model = { shape, steps: 3, version, generationStart: () => ({ from: 'prior', noise: 0.002 }) as const };
    const prior = { mixture: priorOf('faces', 1, 3).mixture, edge: 1, sha256: 'b'.repeat(64) };
    await expect(generationFrom({}, model, { priorOf: async () => prior })).rejects.toThrow(
      'with 3 values; 1 x 1 pixels with 1 channels of an image of 8 are 1',
    );
    const coloured = { ...model, shape: { ...shape, channels: 3 } };
    await expect(
      generationFrom({}, coloured, { priorOf: async () => ({ ...prior, severity: 4 }) }),
    ).rejects.toMatchObject({ code: 'THAW_PRIOR_INVALID' });
    await expect(submit('painted', { prior: 'a'.repeat(64) })).rejects.toThrow('prior: generation with this model');
    await expect(submit('faces', { prior: 'a'.repeat(64) })).rejects.toThrow('prior: there is none with the SHA-256');
    expect(() => parseJobRequest({ mode: 'sample', prior: 'a'.repeat(64) })).toThrow('prior: is for mode');
    expect(() => parseJobRequest({ mode: 'generate', prior: 'latest' })).toThrow('prior: must be 64 hexadecimal');
  });

  it('keeps to the prior that its version had: one fitted later is used only when it is named', async () => {
    const { id, version, start } = await submit('faces', { noise: 0 });
    expect(await sampler.service.status(id)).toMatchObject({ prior: start!.prior! });
    const before = await rowsOf('faces', { noise: 0 });
    const other = priorOf('faces', 1, 3);
    const { sha256, others } = await storeNextPrior(store, 'faces', {
      ...other,
      mixture: { ...other.mixture, means: other.mixture.means.map((mean) => mean.map((value) => value + 0.5)) },
    } as never);
    expect(others).toContain(version.step);
    expect((await rowsOf('faces', { noise: 0 })).rows).toEqual(before.rows);
    const named = await submit('faces', { noise: 0, prior: sha256, count: 2 });
    expect(named.start!.prior).toBe(sha256);
    const moved = await rowsOf('faces', { noise: 0, prior: sha256 });
    [0, 1].forEach((row) =>
      moved.images[row]!.degraded!.forEach((value, i) =>
        expect(value - before.images[row]!.degraded![i]!).toBeCloseTo(0.5, 5),
      ),
    );
  }, 60_000);
});

describe('a job that restores', () => {
  it('takes the noise added to its start off the result', async () => {
    const request = { mode: 'sample', sampler: 'algorithm2' };
    const [plain, noisy] = [await rowsOf('faces', request), await rowsOf('faces', { ...request, noise: 0.001 })];
    const spread = deviation(noisy.images[0]!.degraded!, plain.images[0]!.degraded!);
    expect(spread).toBeGreaterThan(0.0007);
    expect(spread).toBeLessThan(0.0013);
    // Blur with wrapped borders carries the mean of its start to the end: with the noise taken off, that of the start without it.
    const [before, raised, after] = [plain.images[0]!.degraded!, noisy.images[0]!.degraded!, noisy.images[0]!.sampled!];
    means(after).forEach((mean, c) => expect(Math.abs(mean - means(before)[c]!)).toBeLessThan(2e-6));
    expect(Math.abs(means(raised)[0]! - means(before)[0]!)).toBeGreaterThan(1e-5);
  }, 60_000);

  it('goes on from the exact values of a tensor, not from 8 bits', async () => {
    const request = { mode: 'sample', count: 1, sampler: 'algorithm2' };
    const { images } = await rowsOf('faces', { ...request, count: 2 });
    const { degraded, sampled } = images[0]!;
    const file = encodeSafetensors({ degraded: { dtype: 'F32', shape: [8, 8, 3], data: degraded as never } });
    const { id } = await submit('faces', { mode: 'restore', image: Buffer.from(file).toString('base64') });
    expect(await sampler.service.waitForEnd(id, 50_000)).toMatchObject({ state: 'done' });
    const restored = decodeSafetensors(await sampler.service.resultBytes(id, 0)).tensors;
    expect(restored.sampled!.data).toEqual(sampled);
  }, 60_000);

  it('by animorphosis undoes a mixture with the same picture', async () => {
    const { images } = await rowsOf('animorphosis', { mode: 'sample' });
    expect(Object.keys(images[0]!).sort()).toEqual(['degraded', 'direct', 'original', 'sampled']);
  }, 60_000);
});
