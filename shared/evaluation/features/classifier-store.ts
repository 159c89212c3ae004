/** Classifiers of features in the object store: weights by their SHA-256, and for each data set and size which one is used. */
import { loadImages, loadManifest, centreBatch, type DatasetManifest, type SplitName } from '@thaw/shared/data';
import type { Engine } from '@thaw/shared/engine';
import { fromOfficial, sizeOf } from '@thaw/shared/model';
import { decodeJson, ThawError } from '@thaw/shared/protocol';
import { decodeSafetensors, encodeSafetensors, sha256Hex, type ObjectStore } from '@thaw/shared/storage';
import { z } from 'zod';
import type { ImageShape } from '../estimates.js';
import {
  classifierDimensions,
  classifierForward,
  classifierParameters,
  type ClassifierShape,
} from './classifier-network.js';
import { storedWeights, trainClassifier, type LabelledImages } from './classifier-training.js';
import type { FeatureExtractor } from './extractor.js';
import { checkedFeatures } from './onnx-features.js';

export const classifierFormat = 'thaw.feature-classifier/1';

export const ClassifierSchema = z.strictObject({
  format: z.literal(classifierFormat),
  dataset: z.string(),
  /** What the data set was when the classifier was trained. */
  datasetSha256: z.string(),
  /** Edge of the images, cut from the centre. */
  size: z.int().min(1),
  channels: z.union([z.literal(1), z.literal(3)]),
  classes: z.int().min(2).max(100_000),
  /** Training images, epochs over them, and seed. */
  images: z.int().min(1),
  epochs: z.int().min(1),
  seed: z.int().min(0),
  /** Package of the engine that trained it. */
  engine: z.string(),
  /** Share of held-out images whose class is found, and how many they were. */
  accuracy: z.number().min(0).max(1),
  heldOut: z.int().min(1),
  /** Of the weights, a safetensors file. */
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
});
export type Classifier = z.infer<typeof ClassifierSchema>;

export const classifierKey = (dataset: string, size: number): string =>
  `datasets/${dataset}/feature-classifier-${size}.json`;
/** Not among the blobs of checkpoints, so that collecting those never takes it. */
export const classifierWeightsKey = (sha256: string): string => `features/sha256/${sha256}`;

const shapeOf = ({ size, channels, classes }: Classifier): ClassifierShape => ({
  height: size,
  width: size,
  channels,
  classes,
});

export interface TrainFeaturesRequest {
  readonly dataset: string;
  /** Edge of the images; as stored unless given. */
  readonly size?: number;
  readonly epochs: number;
  readonly seed: number;
  /** Training images at most. */
  readonly limit: number;
}

/** Images of the train split that are held out when there is no labelled test split. */
const heldOutShare = 6;

/**
 * Trains a classifier on a data set's labels and stores it; one that was there for this size is replaced.
 * @throws ThawError THAW_DATASET_NOT_FOUND, THAW_LABELS_MISSING, THAW_REQUEST_INVALID (size), THAW_DATA_INVALID
 */
export async function trainFeatures(
  store: ObjectStore,
  engine: Engine,
  request: TrainFeaturesRequest,
  onProgress?: (done: number, total: number, loss: number) => void,
): Promise<Classifier> {
  const { dataset, epochs, seed } = request;
  const manifest = await loadManifest(store, dataset);
  const [height, width, channels] = manifest.imageShape;
  const size = request.size ?? Math.min(height, width);
  if (size > Math.min(height, width) || size < 8)
    throw new ThawError(
      'THAW_REQUEST_INVALID',
      `size: the images of "${dataset}" are ${width} x ${height}; the edge may be 8 to ${Math.min(height, width)}, not ${size}.`,
    );
  const { train, heldOut, classes } = await labelled(store, manifest, size, request.limit);
  const { weights, accuracy } = await trainClassifier({
    engine,
    shape: { height: size, width: size, channels, classes },
    train,
    heldOut,
    epochs,
    seed,
    onProgress,
  });
  const specs = classifierParameters({ height: size, width: size, channels, classes });
  const file = encodeSafetensors(
    Object.fromEntries(
      Object.entries(weights).map(([name, data]) => [name, { dtype: 'F32', shape: specs[name]!.officialShape, data }]),
    ),
  );
  const classifier = ClassifierSchema.parse({
    format: classifierFormat,
    dataset,
    datasetSha256: manifest.contentSha256,
    size,
    channels,
    classes,
    images: train.count,
    epochs,
    seed,
    engine: engine.describe().package,
    accuracy,
    heldOut: heldOut.count,
    sha256: sha256Hex(file),
  });
  // The weights first: whoever reads the description finds them. Put anew, so that torn bytes under this name are mended.
  await store.put(classifierWeightsKey(classifier.sha256), file);
  await store.put(classifierKey(dataset, size), new TextEncoder().encode(`${JSON.stringify(classifier)}\n`));
  return classifier;
}

async function labelled(
  store: ObjectStore,
  manifest: DatasetManifest,
  size: number,
  limit: number,
): Promise<{ train: LabelledImages; heldOut: LabelledImages; classes: number }> {
  const read = async (split: SplitName, first: number, count: number): Promise<LabelledImages | undefined> => {
    const { images, labels } = await loadImages(store, manifest, split, first, count);
    if (labels === undefined) return undefined;
    const bytes = sizeOf(manifest.imageShape);
    return {
      count,
      labels,
      batch(rows) {
        const chosen = new Uint8Array(rows.length * bytes);
        rows.forEach((row, i) => chosen.set(images.subarray(row * bytes, (row + 1) * bytes), i * bytes));
        return centreBatch({ images: chosen, shape: manifest.imageShape, size });
      },
    };
  };
  const { train: all, test } = manifest.splits;
  const held = Math.ceil(all.count / heldOutShare);
  const tested = test === undefined ? undefined : await read('test', 0, Math.min(test.count, 10_000));
  const heldOut = tested ?? (await read('train', all.count - held, held));
  const available = tested === undefined ? all.count - held : all.count;
  const train = heldOut && available > 0 ? await read('train', 0, Math.min(limit, available)) : undefined;
  if (train === undefined || heldOut === undefined)
    throw new ThawError('THAW_LABELS_MISSING', `The images of "${manifest.name}" have no labels.`);
  const classes = train.labels.reduce((most, label) => Math.max(most, label), 0) + 1;
  if (classes < 2 || train.labels.some((label) => label < 0))
    throw new ThawError(
      'THAW_DATA_INVALID',
      `The labels of "${manifest.name}" name ${classes} class(es); they must be whole numbers from 0 on, with two classes or more.`,
    );
  return { train, heldOut, classes };
}

/**
 * The classifier of a data set, ready to give features of images of `shape`.
 * @throws ThawError THAW_FEATURES_MISSING (none trained, for another size, or of other data), THAW_FEATURES_INVALID
 */
export async function openClassifierFeatures(
  store: ObjectStore,
  engine: Engine,
  dataset: string,
  shape: ImageShape,
): Promise<FeatureExtractor & { readonly classifier: Classifier }> {
  const cure = `Train one: thaw features train --dataset ${dataset} --size ${shape.height}; or give a network with --features.`;
  const key = classifierKey(dataset, shape.height);
  const stored = await store.get(key);
  if (stored === undefined)
    throw new ThawError(
      'THAW_FEATURES_MISSING',
      `There is no classifier of "${dataset}" for images of ${shape.height} pixels (${key}).`,
      { cure },
    );
  const classifier = decodeClassifier(stored.bytes, key);
  const { contentSha256 } = await loadManifest(store, dataset);
  if (classifier.datasetSha256 !== contentSha256)
    throw new ThawError('THAW_FEATURES_MISSING', `The classifier of "${dataset}" was trained on other images.`, {
      cure,
    });
  const model = await loadWeights(store, classifier);
  const batch = 50;
  const compiled = await engine.load(classifierForward(shapeOf(classifier), batch));
  const weights = storedWeights(compiled, model);
  return {
    classifier,
    metric: 'frechet-classifier',
    title: 'Frechet distance on features of a classifier trained by Thaw (not FID)',
    sha256: classifier.sha256,
    dimensions: classifierDimensions,
    async extract(images) {
      const features = new Float32Array(images.length * classifierDimensions);
      for (let first = 0; first < images.length; first += batch) {
        const part = images.slice(first, first + batch);
        const packed = new Float32Array(batch * shape.height * shape.width * shape.channels);
        part.forEach((image, i) => packed.set(image, i * image.length));
        const outputs = await compiled.run({ weights, weightsVersion: 0, inputs: { images: packed } });
        const wanted = outputs['features']!.subarray(0, part.length * classifierDimensions) as Float32Array;
        features.set(wanted, first * classifierDimensions);
      }
      return checkedFeatures(features, classifierDimensions);
    },
  };
}

const decodeClassifier = (bytes: Uint8Array, key: string): Classifier =>
  decodeJson(bytes, ClassifierSchema, 'THAW_FEATURES_INVALID', `The classifier ${key}`);

/** In model layout. */
async function loadWeights(store: ObjectStore, classifier: Classifier): Promise<Record<string, Float32Array>> {
  const key = classifierWeightsKey(classifier.sha256);
  const stored = await store.get(key);
  const digest = stored === undefined ? undefined : sha256Hex(stored.bytes);
  if (stored === undefined || digest !== classifier.sha256)
    throw new ThawError(
      'THAW_FEATURES_INVALID',
      `${key} ${digest === undefined ? 'is missing' : `has SHA-256 ${digest}`}.`,
      { cure: `Train the classifier again: thaw features train --dataset ${classifier.dataset}` },
    );
  const { tensors } = decodeSafetensors(stored.bytes);
  return Object.fromEntries(
    Object.entries(classifierParameters(shapeOf(classifier))).map(([name, spec]) => {
      const tensor = tensors[name];
      if (tensor?.dtype !== 'F32' || tensor.shape.join() !== spec.officialShape.join())
        throw new ThawError(
          'THAW_FEATURES_INVALID',
          `${key} holds no ${name} of shape [${spec.officialShape.join(', ')}].`,
        );
      return [name, fromOfficial(spec, tensor.data as Float32Array)];
    }),
  );
}
