/** Looking at packed data sets: a summary, a full verification, single images. */
import { ThawError } from '@thaw/shared/protocol';
import { decodeSafetensors } from '@thaw/shared/storage';
import type { ObjectStore } from '@thaw/shared/storage';
import { loadManifest, sha256Hex } from './manifest.js';
import type { DatasetManifest, Preprocessing, Quarantined, SplitName } from './manifest.js';
import { decodeShard } from './shard.js';

export interface DatasetSummary {
  readonly name: string;
  readonly imageShape: readonly number[];
  readonly preprocessing: Preprocessing;
  readonly contentSha256: string;
  readonly splits: readonly {
    readonly name: SplitName;
    readonly images: number;
    readonly shards: number;
    readonly bytes: number;
    readonly quarantined: number;
  }[];
  readonly quarantined: readonly Quarantined[];
}

/** What the manifest says. @throws as {@link loadManifest} */
export async function inspectDataset(store: ObjectStore, name: string): Promise<DatasetSummary> {
  const manifest = await loadManifest(store, name);
  const { imageShape, preprocessing, contentSha256, quarantined } = manifest;
  const splits = splitsOf(manifest).map(([split, { count, shards, quarantined }]) => ({
    name: split,
    images: count,
    shards: shards.length,
    bytes: shards.reduce((sum, shard) => sum + shard.bytes, 0),
    quarantined,
  }));
  return { name: manifest.name, imageShape, preprocessing, contentSha256, splits, quarantined };
}

export interface VerifyReport {
  readonly ok: boolean;
  readonly checkedShards: number;
  /** One sentence a problem. */
  readonly problems: readonly string[];
}

/** Reads every shard and the mean and checks digests, shapes and the mean's values. @throws as {@link loadManifest} */
export async function verifyDataset(
  store: ObjectStore,
  name: string,
  onProgress?: (done: number, total: number) => void,
): Promise<VerifyReport> {
  const manifest = await loadManifest(store, name);
  const problems: string[] = [];
  const total = splitsOf(manifest).reduce((sum, [, split]) => sum + split.shards.length, 0);
  const imageSize = manifest.imageShape.reduce((product, edge) => product * edge, 1);
  const sums = new Float64Array(imageSize);
  let checkedShards = 0;
  for (const [splitName, split] of splitsOf(manifest))
    for (const shard of split.shards) {
      const object = await store.get(shard.key);
      if (object === undefined) problems.push(`The shard ${shard.key} is missing.`);
      else
        try {
          const { images } = decodeShard(object.bytes, shard, manifest.imageShape);
          if (splitName === 'train')
            for (let at = 0; at < images.length; at += imageSize)
              for (let i = 0; i < imageSize; i++) sums[i]! += images[at + i]!;
        } catch (error) {
          problems.push(sentenceOf(error));
        }
      checkedShards++;
      onProgress?.(checkedShards, total);
    }
  try {
    const mean = await loadMeanTrain(store, manifest);
    if (problems.length === 0 && mean.some((value, i) => value !== Math.fround(sums[i]! / manifest.splits.train.count)))
      problems.push(`${manifest.meanTrain.key} is not the mean of the train split.`);
  } catch (error) {
    problems.push(sentenceOf(error));
  }
  return { ok: problems.length === 0, checkedShards, problems };
}

/** Mean training image, [H, W, C] on the scale 0 .. 255. @throws ThawError THAW_DATA_CORRUPT */
export async function loadMeanTrain(store: ObjectStore, manifest: DatasetManifest): Promise<Float32Array> {
  const { key, sha256 } = manifest.meanTrain;
  const object = await store.get(key);
  if (object === undefined) throw new ThawError('THAW_DATA_CORRUPT', `${key} is missing.`);
  const digest = sha256Hex(object.bytes);
  if (digest !== sha256)
    throw new ThawError('THAW_DATA_CORRUPT', `${key} has SHA-256 ${digest}, its manifest says ${sha256}.`);
  const mean = decodeSafetensors(object.bytes).tensors['mean'];
  if (mean?.dtype !== 'F32' || mean.shape.join() !== manifest.imageShape.join())
    throw new ThawError('THAW_DATA_CORRUPT', `${key} holds no mean of the images' shape.`);
  return mean.data as Float32Array;
}

/**
 * Images `offset .. offset + count - 1` of a split in stored order, uint8 [count, H, W, C], with labels if all have one.
 * For evaluation and display; training reads go through leases (`LeasedShards`).
 * @throws ThawError THAW_DATA_INVALID for a range the split does not have, THAW_DATA_CORRUPT
 */
export async function loadImages(
  store: ObjectStore,
  manifest: DatasetManifest,
  splitName: SplitName,
  offset: number,
  count: number,
): Promise<{ images: Uint8Array; labels?: Int32Array }> {
  const split = manifest.splits[splitName];
  if (split === undefined || offset < 0 || count < 1 || offset + count > split.count)
    throw new ThawError(
      'THAW_DATA_INVALID',
      `The ${splitName} split of "${manifest.name}" has ${split?.count ?? 0} images; ${count} from number ${offset} on were asked for.`,
    );
  const imageSize = manifest.imageShape.reduce((product, edge) => product * edge, 1);
  const images = new Uint8Array(count * imageSize);
  const labels = new Int32Array(count);
  let labelled = true;
  let first = 0;
  for (const shard of split.shards) {
    const from = Math.max(offset, first);
    const to = Math.min(offset + count, first + shard.count);
    if (from < to) {
      const object = await store.get(shard.key);
      if (object === undefined) throw new ThawError('THAW_DATA_CORRUPT', `The shard ${shard.key} is missing.`);
      const content = decodeShard(object.bytes, shard, manifest.imageShape);
      images.set(
        content.images.subarray((from - first) * imageSize, (to - first) * imageSize),
        (from - offset) * imageSize,
      );
      if (content.labels) labels.set(content.labels.subarray(from - first, to - first), from - offset);
      else labelled = false;
    }
    first += shard.count;
  }
  return labelled ? { images, labels } : { images };
}

const splitsOf = (manifest: DatasetManifest) =>
  (['train', 'test'] as const).flatMap((name) => {
    const split = manifest.splits[name];
    return split === undefined ? [] : [[name, split] as const];
  });
const sentenceOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
