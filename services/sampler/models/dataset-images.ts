/** Held-out images of packed data sets, from the object store; the shards read last are kept. */
import {
  centreBatch,
  loadImages,
  loadManifest,
  loadMeanTrain,
  type DatasetManifest,
  type SplitName,
} from '@thaw/shared/data';
import { ThawError } from '@thaw/shared/protocol';
import type { ObjectStore } from '@thaw/shared/storage';
import type { ImageShape, TestImages } from '../ports.js';

/** Bytes of images kept. */
const cacheBytes = 128 << 20;

export function datasetImages(store: ObjectStore): TestImages {
  const manifests = new Map<string, Promise<DatasetManifest>>();
  const shards = new Map<string, Promise<Uint8Array>>();
  let held = 0;

  const manifestOf = (dataset: string): Promise<DatasetManifest> => {
    const found = manifests.get(dataset) ?? loadManifest(store, dataset);
    manifests.set(dataset, found);
    found.catch(() => manifests.delete(dataset)); // it may be packed later
    return found;
  };

  /** Images of one shard, uint8 [n, H, W, C]. */
  function shardImages(
    manifest: DatasetManifest,
    split: SplitName,
    key: string,
    first: number,
    count: number,
  ): Promise<Uint8Array> {
    const known = shards.get(key);
    if (known !== undefined) {
      shards.delete(key);
      shards.set(key, known); // read last
      return known;
    }
    const loading = loadImages(store, manifest, split, first, count).then(({ images }) => {
      held += images.byteLength;
      return images;
    });
    shards.set(key, loading);
    loading.then(
      () => void evict(),
      () => shards.delete(key),
    );
    return loading;
  }

  async function evict(): Promise<void> {
    for (const [key, images] of shards) {
      if (held <= cacheBytes || shards.size <= 1) return;
      shards.delete(key);
      held -= (await images).byteLength;
    }
  }

  return {
    async count(dataset, split) {
      return splitOf(await manifestOf(dataset), split).count;
    },
    async image(dataset, split, index, shape) {
      const manifest = await manifestOf(dataset);
      let first = 0;
      for (const { key, count } of splitOf(manifest, split).shards) {
        if (index < first + count) {
          const images = await shardImages(manifest, split as SplitName, key, first, count);
          const size = manifest.imageShape.reduce((product, edge) => product * edge, 1);
          const one = images.subarray((index - first) * size, (index - first + 1) * size);
          return centreBatch({ images: one, shape: checkedShape(manifest, shape), size: shape.height });
        }
        first += count;
      }
      throw new ThawError(
        'THAW_DATA_INVALID',
        `The split ${split} of "${dataset}" has ${first} images; number ${index} was asked for.`,
      );
    },
    async meanTrain(dataset, shape) {
      const manifest = await manifestOf(dataset);
      return cutCentre(await loadMeanTrain(store, manifest), checkedShape(manifest, shape), shape.height);
    },
  };
}

function splitOf(manifest: DatasetManifest, split: string): NonNullable<DatasetManifest['splits'][SplitName]> {
  const found = split === 'train' || split === 'test' ? manifest.splits[split] : undefined;
  if (found === undefined)
    throw new ThawError('THAW_DATA_INVALID', `The data set "${manifest.name}" has no split "${split}".`);
  return found;
}

/** Stored images are as large as the model's or larger, and have its channels. */
function checkedShape(
  manifest: DatasetManifest,
  { height, width, channels }: ImageShape,
): DatasetManifest['imageShape'] {
  const [h, w, c] = manifest.imageShape;
  if (h < height || w < width || c !== channels || height !== width)
    throw new ThawError(
      'THAW_DATA_INVALID',
      `The images of "${manifest.name}" are ${h}x${w}x${c}; the model takes ${height}x${width}x${channels}.`,
    );
  return manifest.imageShape;
}

/** As `centreBatch` cuts images. */
function cutCentre(
  image: Float32Array,
  [height, width, channels]: readonly [number, number, number],
  size: number,
): Float32Array {
  if (height === size && width === size) return image;
  const [top, left] = [halfToEven(height - size), halfToEven(width - size)];
  const cut = new Float32Array(size * size * channels);
  for (let y = 0; y < size; y++) {
    const from = ((top + y) * width + left) * channels;
    cut.set(image.subarray(from, from + size * channels), y * size * channels);
  }
  return cut;
}

/** n / 2 rounded half to even, as the official centre crop places it. */
function halfToEven(n: number): number {
  const below = Math.floor(n / 2);
  return n % 2 === 0 || below % 2 === 0 ? below : below + 1;
}
