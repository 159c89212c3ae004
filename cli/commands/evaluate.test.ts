import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { packDataset, type ImageSource } from '@thaw/shared/data';
import { lower, trace } from '@thaw/shared/engine';
import { initialWeights, networkWeightSpecs, toOfficial } from '@thaw/shared/model';
import { RunConfigSchema, ThawError } from '@thaw/shared/protocol';
import { encodeSafetensors, openStore, type Tensor } from '@thaw/shared/storage';
import { evaluateCheckpoint, type EvaluateOptions } from './evaluate.js';
import { trainFeaturesCommand } from './features.js';
import { importWeights } from './import.js';

const run = RunConfigSchema.parse({
  format: 'thaw.run/1',
  name: 'shades',
  seed: 1,
  data: { dataset: 'shades', size: 12, channels: 1 },
  degradation: { family: 'mask', steps: 3, routine: 'Constant', kernelStd: 2 },
  network: { kind: 'convnext-unet', dim: 8, mults: [1, 2] },
  optimizer: { learningRate: 1e-3 },
  batch: { global: 4, micro: 2 },
  steps: 10,
});
/** Dark and light images: labels 0 and 1. */
const shades = (count: number): ImageSource => ({
  identity: `shades ${count}`,
  count,
  async *items(from) {
    for (let i = from; i < count; i++)
      yield {
        kind: 'image',
        name: `${i}`,
        width: 12,
        height: 12,
        channels: 1,
        pixels: Uint8Array.from({ length: 144 }, (_, p) => (i % 2) * 120 + ((p * (i + 3)) % 97)),
        label: i % 2,
      };
  },
});

let folder: string;
let options: EvaluateOptions;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'thaw-evaluate-'));
  const storeUrl = pathToFileURL(join(folder, 'store')).href;
  await packDataset(
    await openStore(storeUrl),
    { train: shades(128), test: shades(30) },
    { name: 'shades', preprocessing: { method: 'none' }, shardBytes: 1 << 20 },
  );
  const initial = initialWeights(run.network, run.data, 11);
  const official: Record<string, Tensor> = Object.fromEntries(
    Object.entries(networkWeightSpecs(run.network, run.data)).map(([name, spec]) => [
      name,
      { dtype: 'F32', shape: [...spec.officialShape], data: toOfficial(spec, initial[name]!) },
    ]),
  );
  const file = join(folder, 'weights.safetensors');
  writeFileSync(file, encodeSafetensors(official));
  await importWeights({ storeUrl, file, run, nowMs: 5 });
  options = {
    storeUrl,
    checkpoint: 'shades/0',
    split: 'test',
    metrics: 'rmse,ssim,psnr,fid',
    sampler: 'algorithm2',
    seed: 0,
    engine: 'auto',
    batch: 16,
    convention: 'official',
  };
});
afterAll(() => rmSync(folder, { recursive: true }));

const refused = (change: Partial<EvaluateOptions>): Promise<string> =>
  evaluateCheckpoint({ ...options, ...change }).then(
    () => 'nothing was refused',
    (error: unknown) => (error instanceof ThawError ? `${error.code}: ${error.message} ${error.cure}` : String(error)),
  );

describe('thaw evaluate', () => {
  it('says how to get features when there are none', async () => {
    expect(await refused({})).toContain('Train one: thaw features train --dataset shades --size 12');
  });

  it('writes the report as JSON, Markdown and a page; the distance on the classifier is not called FID', async () => {
    const { storeUrl } = options;
    const trained = { storeUrl, dataset: 'shades', epochs: 2, seed: 0, limit: 1000, engine: 'auto' as const };
    expect(await trainFeaturesCommand(trained)).toMatchObject({ classes: 2, heldOut: 30 });
    const out = join(folder, 'report');
    const { report, files } = await evaluateCheckpoint({ ...options, out });
    expect(files.map((file) => file.slice(out.length + 1))).toEqual(['report.json', 'report.md', 'report.html']);
    expect(JSON.parse(readFileSync(files[0]!, 'utf8'))).toEqual(JSON.parse(JSON.stringify(report)));
    expect(report.convention).toEqual({ degraded: 'first-update', sampled: 'last-estimate', firstImage: 1 });
    expect(report.count).toBe(29);
    expect(Object.keys(report.scores)).toEqual(['rmse', 'ssim', 'psnr', 'frechet-classifier']);
    const markdown = readFileSync(files[1]!, 'utf8');
    expect(markdown).toContain('Frechet distance (classifier, not FID)');
    expect(readFileSync(files[2]!, 'utf8').match(/data:image\/png;base64,/g)).toHaveLength(40);
  });

  it('takes an ONNX network with the file beside it, and other choices of images', async () => {
    const features = join(folder, 'means.onnx');
    const definition = {
      name: 'means',
      weights: {},
      inputs: { x: { shape: [4, 3, 24, 24], dtype: 'float32' } },
      fn: (_: unknown, inputs: Record<string, tf.Tensor>) => ({ means: tf.mean(inputs['x']!, [2]).reshape([4, 72]) }),
    } as const;
    writeFileSync(features, lower(trace(definition)).onnx);
    expect(await refused({ features })).toContain('THAW_FEATURES_INVALID: input: the network takes [4, 3, 24, 24]');
    writeFileSync(join(folder, 'means.json'), JSON.stringify({ name: 'column-means', size: 24 }));
    const { report } = await evaluateCheckpoint({
      ...options,
      metrics: 'frechet',
      features,
      count: 10,
      degraded: 'x_T',
      sampled: 'x_0',
      firstImage: 0,
    });
    expect(report.convention).toEqual({ degraded: 'x_T', sampled: 'x_0', firstImage: 0 });
    expect(report.features).toMatchObject({ metric: 'frechet-column-means', dimensions: 72 });
    expect(report.scores['frechet-column-means']!.degraded.value).toBeGreaterThan(0);
    writeFileSync(join(folder, 'means.json'), '{');
    expect(await refused({ features })).toContain('means.json is not JSON');
    expect(await refused({ features: join(folder, 'absent.onnx') })).toContain('ENOENT');
  });

  it('refuses checkpoints that it cannot tell apart', async () => {
    expect(await refused({ checkpoint: undefined })).toContain('THAW_USAGE_INVALID: Which run is meant was not said.');
    expect(await refused({ run: 'other' })).toContain('--run says other, --checkpoint says shades.');
    expect(await refused({ checkpoint: 'newest' })).toContain('neither <step> nor <run>/<step>');
    expect(await refused({ checkpoint: 'shades/7' })).toContain('THAW_CHECKPOINT_NOT_FOUND');
  });
});
