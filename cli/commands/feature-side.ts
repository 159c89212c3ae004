/** One side of a Frechet distance: images wherever they are, or statistics of features computed before. */
import { readFileSync } from 'node:fs';
import { loadManifest, openImageSplits, readZipFiles, type ImageSource } from '@thaw/shared/data';
import {
  decodeStatistics,
  FeatureMoments,
  parseNpy,
  statisticsFrom,
  type FeatureExtractor,
  type FeatureStatistics,
  type StoredStatistics,
} from '@thaw/shared/evaluation';
import { pixelsToUnit } from '@thaw/shared/pixels';
import { ThawError } from '@thaw/shared/protocol';
import type { ObjectStore } from '@thaw/shared/storage';
import { datasetImages } from '@thaw/sampler';

type Shape = Parameters<FeatureExtractor['extract']>[1];

export interface Images {
  readonly shape: Shape;
  readonly count: number;
  /** Images [H, W, C] in [-1, 1], in order; unusable ones are told of and left out. */
  all(unusable: (name: string, reason: string) => void): AsyncIterable<Float32Array>;
}
export type FeatureSide = { readonly stored: StoredStatistics } | { readonly images: Images };

export interface SideOptions {
  /** Only the first images. */
  readonly count?: number;
  /** Edge to which images of a data set are cut, around their centre; as stored unless given. */
  readonly size?: number;
}

const datasetPrefix = 'dataset:';
const mostStatisticsBytes = 512 << 20;
/** Images given to the network at once. */
const blockImages = 50;

/** `dataset:<name>` or `dataset:<name>/<split>`. */
export function datasetOf(source: string): { name: string; split: string } | undefined {
  if (!source.startsWith(datasetPrefix)) return undefined;
  const [name = '', split = 'test'] = source.slice(datasetPrefix.length).split('/');
  return { name, split };
}

/**
 * Statistics (`.npz` of pytorch-fid, `.safetensors` of ours), a packed data set, or a folder, zip or parquet of images of one size.
 * @throws ThawError THAW_DATA_INVALID, THAW_DATASET_NOT_FOUND, THAW_FEATURES_INVALID
 */
export async function openSide(
  source: string,
  store: () => Promise<ObjectStore>,
  options: SideOptions,
): Promise<FeatureSide> {
  if (/\.npz$/i.test(source)) return { stored: { statistics: await readNpz(source) } };
  if (/\.safetensors$/i.test(source)) return { stored: decodeStatistics(readStatistics(source), source) };
  const dataset = datasetOf(source);
  if (dataset !== undefined) return { images: await packedImages(await store(), dataset, options) };
  return { images: await imagesOf((await openImageSplits(source, { partition: false })).train, source, options) };
}

function readStatistics(file: string): Uint8Array {
  try {
    return readFileSync(file);
  } catch (cause) {
    throw new ThawError('THAW_FEATURES_INVALID', `${file} cannot be read: ${(cause as Error).message}`, { cause });
  }
}

async function readNpz(file: string): Promise<FeatureStatistics> {
  const arrays = await readZipFiles(file, ['mu.npy', 'sigma.npy'], mostStatisticsBytes);
  const [mu, sigma] = ['mu', 'sigma'].map((name) => {
    const bytes = arrays.get(`${name}.npy`);
    return bytes && parseNpy(bytes, `${file}/${name}.npy`);
  });
  return statisticsFrom(mu, sigma, file);
}

async function packedImages(
  store: ObjectStore,
  { name, split }: { name: string; split: string },
  { count: asked, size }: SideOptions,
): Promise<Images> {
  const { imageShape } = await loadManifest(store, name);
  const [height, width, channels] = imageShape;
  const shape = size === undefined ? { height, width, channels } : { height: size, width: size, channels };
  const images = datasetImages(store);
  const available = await images.count(name, split);
  const count = Math.min(asked ?? available, available);
  return {
    shape,
    count,
    async *all() {
      for (let i = 0; i < count; i++) yield await images.image(name, split, i, shape);
    },
  };
}

async function imagesOf(source: ImageSource, path: string, { count: asked }: SideOptions): Promise<Images> {
  const count = Math.min(asked ?? source.count, source.count);
  let shape: Shape | undefined;
  for await (const item of source.items(0)) {
    if (item.kind === 'bad') continue;
    shape = { height: item.height, width: item.width, channels: item.channels };
    break;
  }
  if (shape === undefined) throw new ThawError('THAW_DATA_INVALID', `${path} has no usable image.`);
  const { height, width, channels } = shape;
  return {
    shape,
    count,
    async *all(unusable) {
      let taken = 0;
      for await (const item of source.items(0)) {
        if (taken++ === count) return;
        if (item.kind === 'bad') unusable(item.name, item.reason);
        else if (item.height !== height || item.width !== width || item.channels !== channels)
          throw new ThawError(
            'THAW_DATA_INVALID',
            `${item.name} of ${path} is ${item.height}x${item.width}x${item.channels}, the images before it ${height}x${width}x${channels}.`,
            {
              cure: 'Pack the images to one size first (`thaw data pack`), and name the data set: dataset:<name>/train.',
            },
          );
        else yield pixelsToUnit(item.pixels);
      }
    },
  };
}

/** @throws ThawError THAW_DATA_INVALID with fewer than two usable images, and what reading and the network throw */
export async function statisticsOf(
  images: Images,
  extractor: FeatureExtractor,
  source: string,
  onProgress: (done: number, total: number) => void,
): Promise<{ statistics: FeatureStatistics; unusable: number; firstUnusable?: string }> {
  const moments = new FeatureMoments(extractor.dimensions);
  let unusable = 0;
  let firstUnusable: string | undefined;
  let block: Float32Array[] = [];
  const flush = async (): Promise<void> => {
    if (block.length > 0) moments.add(await extractor.extract(block, images.shape));
    block = [];
    onProgress(moments.count + unusable, images.count);
  };
  for await (const image of images.all((name, reason) => {
    unusable++;
    firstUnusable ??= `${name}: ${reason}`;
  })) {
    block.push(image);
    if (block.length === blockImages) await flush();
  }
  await flush();
  if (moments.count < 2)
    throw new ThawError(
      'THAW_DATA_INVALID',
      `${source} has ${moments.count} usable images; a Frechet distance needs two or more.`,
    );
  return {
    statistics: moments.statistics(),
    unusable,
    ...(firstUnusable === undefined ? {} : { firstUnusable }),
  };
}
