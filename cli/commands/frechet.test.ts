import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import * as tf from '@tensorflow/tfjs-core';
import { packDataset, type ImageSource } from '@thaw/shared/data';
import { lower, trace } from '@thaw/shared/engine';
import { featureStatistics, frechetDistance } from '@thaw/shared/evaluation';
import { openStore } from '@thaw/shared/storage';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { frechet, frechetText, type FrechetOptions } from './frechet.js';
import { numpyDistance, numpyFile } from './statistics.fixture.js';

let folder: string;
let options: Omit<FrechetOptions, 'images'>;
const at = (...names: string[]): string => join(folder, ...names);

/** Colour i of the set `seed`. */
const colourOf = (seed: number, i: number): [number, number, number] => [
  (37 * i + 11 * seed) % 256,
  (91 * i * i + 5 * seed) % 256,
  (17 * i * (seed + 1)) % 256,
];
/** The features of the test's network: channel means on the scale 0 .. 1. */
const statisticsOfColours = (seed: number, count: number) =>
  featureStatistics(
    Float64Array.from({ length: 3 * count }, (_, k) => Math.fround(colourOf(seed, Math.floor(k / 3))[k % 3]! / 255)),
    3,
  );
const packed: ImageSource = {
  identity: 'colours',
  count: 12,
  async *items(from) {
    for (let i = from; i < 12; i++) {
      const pixels = Uint8Array.from({ length: 8 * 8 * 3 }, (_, k) => colourOf(2, i)[k % 3]!);
      yield { kind: 'image', name: `${i}`, width: 8, height: 8, channels: 3, pixels };
    }
  },
};
async function folderOf(name: string, seed: number, count: number, edge = 6): Promise<string> {
  mkdirSync(at(name));
  for (let i = 0; i < count; i++) {
    const [r, g, b] = colourOf(seed, i);
    const image = sharp({ create: { width: edge, height: edge, channels: 3, background: { r, g, b } } });
    writeFileSync(at(name, `${String(i).padStart(2, '0')}.png`), await image.png().toBuffer());
  }
  return at(name);
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'thaw-frechet-'));
  const storeUrl = pathToFileURL(at('store')).href;
  await packDataset(
    await openStore(storeUrl),
    { train: packed, test: packed },
    { name: 'colours', preprocessing: { method: 'none' } },
  );
  const network = (scale: number) =>
    lower(
      trace({
        name: 'means',
        weights: {},
        inputs: { x: { shape: [4, 3, 4, 4], dtype: 'float32' } },
        fn: (_, inputs) => ({ means: tf.mul(tf.mean(inputs['x']!, [2, 3]), scale) }),
      }),
    ).onnx;
  writeFileSync(at('means.onnx'), network(1));
  writeFileSync(at('other.onnx'), network(2));
  for (const name of ['means', 'other']) writeFileSync(at(`${name}.json`), JSON.stringify({ name, size: 4 }));
  writeFileSync(at('a.npz'), numpyFile('a'));
  writeFileSync(at('b.npz'), numpyFile('b'));
  await folderOf('generated', 1, 10);
  options = { storeUrl, engine: 'auto', features: at('means.onnx') };
}, 30_000);
afterAll(() => rmSync(folder, { recursive: true }));

const refused = (given: Partial<FrechetOptions> & { images: string }) =>
  frechet({ ...options, ...given }).then(
    () => 'nothing was refused',
    (error: { code: string; message: string }) => `${error.code}: ${error.message}`,
  );

describe('thaw frechet', () => {
  it('compares a folder with a data set, on any network, of any sizes', async () => {
    const report = await frechet({ ...options, images: at('generated'), reference: 'dataset:colours/train' });
    const wanted = frechetDistance(statisticsOfColours(1, 10), statisticsOfColours(2, 12));
    expect(wanted).toBeGreaterThan(0.01);
    expect(report).toMatchObject({
      metric: 'frechet-means',
      dimensions: 3,
      images: { source: at('generated'), count: 10 },
      reference: { source: 'dataset:colours/train', count: 12 },
    });
    expect(report.distance).toBeCloseTo(wanted, 5);
    const part = await frechet({
      ...options,
      images: at('generated'),
      reference: 'dataset:colours',
      count: 5,
      size: 4,
    });
    expect(part.distance).toBeCloseTo(frechetDistance(statisticsOfColours(1, 5), statisticsOfColours(2, 5)), 5);
    expect(
      frechetText(await frechet({ ...options, images: at('generated'), reference: 'dataset:colours', count: 3 })),
    ).toContain('has no more images than features (3)');
  });

  it('takes statistics of other programs, with or without a network', async () => {
    const report = await frechet({ ...options, features: undefined, images: at('a.npz'), reference: at('b.npz') });
    expect(report.distance).toBeCloseTo(numpyDistance, 10);
    expect(report).toMatchObject({ metric: 'frechet', images: { source: at('a.npz') } });
    expect(report.images).not.toHaveProperty('count');
    expect((await frechet({ ...options, images: at('generated'), reference: at('a.npz') })).metric).toBe(
      'frechet-means',
    );
  });

  it('keeps statistics, which give the same distance, and only beside the same network', async () => {
    const save = at('kept', 'colours.safetensors');
    const kept = await frechet({ ...options, images: 'dataset:colours/train', save });
    expect(kept).toMatchObject({ saved: save, images: { count: 12 } });
    expect(kept).not.toHaveProperty('distance');
    const [direct, stored] = [
      await frechet({ ...options, images: at('generated'), reference: 'dataset:colours/train' }),
      await frechet({ ...options, images: at('generated'), reference: save }),
    ];
    expect(stored.distance).toBe(direct.distance);
    expect(stored.reference).toEqual({ source: save, count: 12 });
    expect(await refused({ images: at('generated'), reference: save, features: at('other.onnx') })).toContain(
      'THAW_FEATURES_INVALID: ',
    );
  });

  it('leaves out images that cannot be used and says so, and refuses images of two sizes', async () => {
    const place = await folderOf('torn', 3, 6);
    writeFileSync(join(place, '03.png'), 'torn');
    const { images } = await frechet({ ...options, images: place, save: at('torn.safetensors') });
    expect(images).toMatchObject({
      count: 5,
      unusable: 1,
      firstUnusable: expect.stringContaining('03.png: ') as string,
    });
    const mixed = await folderOf('mixed', 3, 2);
    writeFileSync(
      join(mixed, 'z.png'),
      await sharp({ create: { width: 7, height: 6, channels: 3, background: 'red' } })
        .png()
        .toBuffer(),
    );
    expect(await refused({ images: mixed, reference: at('a.npz') })).toContain('THAW_DATA_INVALID: z.png of');
  });

  it('refuses what it cannot compare, before any work', async () => {
    const { images } = { images: at('generated') };
    expect(await refused({ images })).toContain('THAW_USAGE_INVALID: One set of images was given');
    expect(await refused({ images, reference: at('a.npz'), features: undefined })).toContain('THAW_FEATURES_MISSING');
    expect(await refused({ images, reference: at('nowhere') })).toContain('THAW_DATA_INVALID');
    expect(await refused({ images, reference: at('nowhere.npz') })).toContain('THAW_DATA_INVALID');
    expect(await refused({ images, reference: at('nowhere.safetensors') })).toContain('THAW_FEATURES_INVALID');
    expect(await refused({ images, reference: 'dataset:nothing' })).toContain('THAW_DATASET_NOT_FOUND');
    expect(await refused({ images, reference: 'dataset:colours/validation' })).toContain('no split "validation"');
    expect(await refused({ images, reference: at('a.npz'), size: 4 })).toContain('--size');
    expect(await refused({ images: at('a.npz'), save: at('x.safetensors') })).toContain('--save');
  });
});
