import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { packDataset, type ImageSource, type SourceImage } from '@thaw/shared/data';
import { openEngine, type Engine } from '@thaw/shared/engine';
import { ThawError } from '@thaw/shared/protocol';
import { RandomStream } from '@thaw/shared/runtime';
import { MemoryStore, type ObjectStore } from '@thaw/shared/storage';
import { classifierKey, classifierWeightsKey, openClassifierFeatures, trainFeatures } from './classifier-store.js';

const size = 12;
const shape = { height: size, width: size, channels: 1 };

/** Stripes, lying (class 0) or standing (class 1), somewhere and with noise. */
function stripes(count: number, seed: number, labelled = true): ImageSource {
  const image = (i: number): SourceImage => {
    const stream = new RandomStream(seed, 'evaluation', 0, 3, i);
    const label = stream.below(2);
    const phase = stream.below(4);
    const pixels = Uint8Array.from({ length: size * size }, (_, at) => {
      const along = label === 0 ? Math.floor(at / size) : at % size;
      return ((along + phase) % 4 < 2 ? 40 : 190) + stream.below(50);
    });
    const common = { kind: 'image', name: `image ${i}`, width: size, height: size, channels: 1, pixels } as const;
    return labelled ? { ...common, label } : common;
  };
  return {
    identity: `stripes:${count}:${seed}:${labelled}`,
    count,
    async *items(from) {
      for (let i = from; i < count; i++) yield image(i);
    },
  };
}

const pack = (store: ObjectStore, name: string, train: ImageSource, test?: ImageSource) =>
  packDataset(store, test === undefined ? { train } : { train, test }, {
    name,
    preprocessing: { method: 'none' },
    shardBytes: 20_000,
  });
const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'done',
    (error: unknown) => (error instanceof ThawError ? `${error.code}: ${error.message} ${error.cure}` : String(error)),
  );

describe('the classifier of features', () => {
  let engine: Engine;
  const store = new MemoryStore();
  const request = { dataset: 'stripes', epochs: 6, seed: 1, limit: 1000 };

  beforeAll(async () => {
    engine = await openEngine();
    await pack(store, 'stripes', stripes(320, 1), stripes(96, 2));
  });
  afterAll(() => engine.close());

  it('learns the labels, equally for an equal seed, and is stored by its digest', async () => {
    const progress: number[] = [];
    const classifier = await trainFeatures(store, engine, request, (done) => progress.push(done));
    expect(progress.at(-1)).toBe(30);
    expect(classifier).toMatchObject({ dataset: 'stripes', size, classes: 2, images: 320, heldOut: 96, seed: 1 });
    expect(classifier.accuracy).toBeGreaterThan(0.9);
    expect(await store.head(classifierWeightsKey(classifier.sha256))).toBeDefined();
    expect(await trainFeatures(store, engine, request)).toEqual(classifier);
    const other = await trainFeatures(store, engine, { ...request, epochs: 1, seed: 2 });
    expect(other.sha256).not.toBe(classifier.sha256);
    await trainFeatures(store, engine, request);
  });

  it('gives the same features of an image in any batch, under a name that is not FID', async () => {
    const features = await openClassifierFeatures(store, engine, 'stripes', shape);
    expect(features).toMatchObject({ metric: 'frechet-classifier', dimensions: 64 });
    expect(features.title).toContain('not FID');
    const images = Array.from({ length: 53 }, (_, i) => new Float32Array(size * size).fill(i / 53));
    const all = await features.extract(images, shape);
    const last = await features.extract(images.slice(52), shape);
    expect(Array.from(last)).toEqual(Array.from(all.subarray(52 * 64)));
    expect(new Set(all).size).toBeGreaterThan(100);
    const nan = features.extract([new Float32Array(size * size).fill(NaN)], shape);
    expect(await codeOf(nan)).toContain('THAW_FEATURES_INVALID: The network of features gives NaN');
  });

  it('holds out the end of the train split where there is no labelled test split', async () => {
    await pack(store, 'whole', stripes(120, 3));
    expect(await trainFeatures(store, engine, { ...request, dataset: 'whole', epochs: 1 })).toMatchObject({
      images: 100,
      heldOut: 20,
    });
  });

  it('says what is missing and how to get it', async () => {
    await pack(store, 'unlabelled', stripes(80, 4, false));
    expect(await codeOf(trainFeatures(store, engine, { ...request, dataset: 'unlabelled' }))).toBe(
      'THAW_LABELS_MISSING: The images of "unlabelled" have no labels. Pack it with --labels, or give a network of features with --features.',
    );
    expect(await codeOf(openClassifierFeatures(store, engine, 'unlabelled', shape))).toContain(
      'THAW_FEATURES_MISSING: There is no classifier of "unlabelled" for images of 12 pixels (datasets/unlabelled/feature-classifier-12.json). Train one: thaw features train --dataset unlabelled --size 12',
    );
    expect(await codeOf(trainFeatures(store, engine, { ...request, size: 13 }))).toContain(
      'THAW_REQUEST_INVALID: size:',
    );
    await pack(store, 'few', stripes(40, 5), stripes(10, 6));
    expect(await codeOf(trainFeatures(store, engine, { ...request, dataset: 'few' }))).toContain(
      'THAW_DATA_INVALID: A classifier needs 64 labelled images, there are 40.',
    );
  });

  it('refuses torn weights, descriptions that are none, and data that changed', async () => {
    const torn = new MemoryStore();
    await pack(torn, 'stripes', stripes(320, 1), stripes(96, 2));
    const { sha256 } = await trainFeatures(torn, engine, { ...request, epochs: 1 });
    const key = classifierWeightsKey(sha256);
    const whole = (await torn.get(key))!.bytes;
    await torn.put(key, whole.subarray(0, 100));
    expect(await codeOf(openClassifierFeatures(torn, engine, 'stripes', shape))).toContain('has SHA-256');
    await trainFeatures(torn, engine, { ...request, epochs: 1 });
    expect(await codeOf(openClassifierFeatures(torn, engine, 'stripes', shape))).toBe('done');
    await torn.delete(key);
    expect(await codeOf(openClassifierFeatures(torn, engine, 'stripes', shape))).toContain('is missing');
    const description = classifierKey('stripes', size);
    const described = new TextDecoder().decode((await torn.get(description))!.bytes);
    await torn.put(
      description,
      new TextEncoder().encode(described.replace(/"datasetSha256":"./, '"datasetSha256":"x')),
    );
    expect(await codeOf(openClassifierFeatures(torn, engine, 'stripes', shape))).toContain(
      'was trained on other images',
    );
    await torn.put(description, new TextEncoder().encode('{"format":'));
    expect(await codeOf(openClassifierFeatures(torn, engine, 'stripes', shape))).toContain('is not JSON');
  });
});
