/** Packing: images become shards and a manifest in the object store. Deterministic; goes on where it was interrupted. */
import { ThawError } from '@thaw/shared/protocol';
import { encodeSafetensors } from '@thaw/shared/storage';
import type { ObjectStore } from '@thaw/shared/storage';
import type { ImageSource, SourceImage } from './image-source.js';
import {
  contentSha256,
  datasetFormat,
  decodeManifest,
  encodeManifest,
  manifestKey,
  meanTrainKey,
  sha256Hex,
  shardKey,
} from './manifest.js';
import type { DatasetManifest, ImageShape, Preprocessing, Quarantined, Split, SplitName } from './manifest.js';
import { PackingJournal } from './packing-journal.js';
import type { JournalShard } from './packing-journal.js';
import { prepareImage } from './preparation.js';
import { decodeShard, encodeShard } from './shard.js';

export interface PackOptions {
  /** Name of the data set in the store. */
  readonly name: string;
  readonly preprocessing: Preprocessing;
  /** Bytes of images a shard holds at most. Default 32 MiB. */
  readonly shardBytes?: number;
  /** Share of unusable images above which packing stops. Default 0.05. */
  readonly maxBadShare?: number;
  readonly onProgress?: (progress: PackProgress) => void;
  readonly signal?: AbortSignal;
}
export interface PackProgress {
  readonly split: SplitName;
  /** Source items dealt with, and of how many. */
  readonly done: number;
  readonly total: number;
  readonly quarantined: number;
  readonly shards: number;
}
export interface PackResult {
  readonly manifest: DatasetManifest;
  /** The store held this very data set already; nothing was written. */
  readonly alreadyPacked: boolean;
  /** Shards taken over from an interrupted packing. */
  readonly resumedShards: number;
}

/** Names kept in the manifest; further bad images are counted only. */
const maxQuarantineNames = 1000;
const defaultShardBytes = 32 * 1024 * 1024;

interface PackedSplit {
  readonly split: Split;
  readonly shape: ImageShape;
  readonly quarantined: readonly Quarantined[];
  readonly resumed: number;
  /** Sum over the split, per value of an image. Exact: below 2^53. */
  readonly sums: Float64Array;
}

/**
 * Packs a train split and, if given, a test split. The same sources and options give the same bytes. A packing that was
 * interrupted goes on after its last complete shard when it is called again with the same sources and options.
 * @throws ThawError THAW_DATA_INVALID (sources, options, or another data set has the name), and what the store throws.
 */
export async function packDataset(
  store: ObjectStore,
  sources: { readonly train: ImageSource; readonly test?: ImageSource },
  options: PackOptions,
): Promise<PackResult> {
  const { name, preprocessing } = options;
  const shardBytes = options.shardBytes ?? defaultShardBytes;
  if (!Number.isInteger(shardBytes) || shardBytes < 1)
    throw new ThawError('THAW_DATA_INVALID', `The shard size is ${shardBytes} bytes; it must be at least 1.`);
  const identity = sha256Hex(
    new TextEncoder().encode(
      JSON.stringify([
        datasetFormat,
        preprocessing,
        shardBytes,
        sources.train.identity,
        sources.test?.identity ?? null,
      ]),
    ),
  );
  const journal = await PackingJournal.open(store, name, identity);
  const existing = await store.get(manifestKey(name));
  if (existing !== undefined && journal.isComplete)
    return { manifest: decodeManifest(existing.bytes, manifestKey(name)), alreadyPacked: true, resumedShards: 0 };
  if (existing !== undefined) throw nameTaken(name);

  const train = await packSplit(store, 'train', sources.train, options, shardBytes, journal);
  const test = sources.test && (await packSplit(store, 'test', sources.test, options, shardBytes, journal));
  if (test && test.shape.join() !== train.shape.join())
    throw new ThawError(
      'THAW_DATA_INVALID',
      `The test images are [${test.shape.join(', ')}], the training images [${train.shape.join(', ')}].`,
    );
  const mean = encodeSafetensors({
    mean: { dtype: 'F32', shape: train.shape, data: Float32Array.from(train.sums, (sum) => sum / train.split.count) },
  });
  await store.put(meanTrainKey(name), mean);
  const content = {
    format: datasetFormat,
    name,
    imageShape: train.shape,
    preprocessing,
    splits: test ? { train: train.split, test: test.split } : { train: train.split },
    meanTrain: { key: meanTrainKey(name), sha256: sha256Hex(mean) },
    quarantined: [...train.quarantined, ...(test?.quarantined ?? [])].slice(0, maxQuarantineNames),
  } as const;
  const manifest: DatasetManifest = {
    ...content,
    quarantined: [...content.quarantined],
    contentSha256: contentSha256({ ...content, quarantined: [] }),
  };
  await journal.complete();
  const { created } = await store.putIfAbsent(manifestKey(name), encodeManifest(manifest));
  if (!created) {
    const other = await store.get(manifestKey(name));
    if (other === undefined || decodeManifest(other.bytes, manifestKey(name)).contentSha256 !== manifest.contentSha256)
      throw nameTaken(name);
  }
  return { manifest, alreadyPacked: false, resumedShards: train.resumed + (test?.resumed ?? 0) };
}

const nameTaken = (name: string): ThawError =>
  new ThawError(
    'THAW_DATA_INVALID',
    `The store holds another data set called "${name}", or one packed with other options.`,
    {
      cure: 'Choose another name; a packed data set is never changed.',
    },
  );

async function packSplit(
  store: ObjectStore,
  splitName: SplitName,
  source: ImageSource,
  options: PackOptions,
  shardBytes: number,
  journal: PackingJournal,
): Promise<PackedSplit> {
  const shards: JournalShard[] = [];
  let shape: ImageShape | undefined;
  let sums = new Float64Array(0);
  const addToSums = (images: Uint8Array, imageSize: number): void => {
    if (sums.length === 0) sums = new Float64Array(imageSize);
    for (let at = 0; at < images.length; at += imageSize)
      for (let i = 0; i < imageSize; i++) sums[i]! += images[at + i]!;
  };

  // Shards of an interrupted packing are taken over as far as they are intact.
  for (const shard of journal.shardsOf(splitName)) {
    const object = await store.get(shard.key);
    if (object === undefined || sha256Hex(object.bytes) !== shard.sha256) break;
    shape = shard.imageShape;
    addToSums(decodeShard(object.bytes, shard, shape).images, shape[0] * shape[1] * shape[2]);
    shards.push(shard);
  }
  const resumed = shards.length;
  const quarantined: Quarantined[] = shards.flatMap((shard) => shard.quarantined);
  let bad = shards.reduce((sum, shard) => sum + shard.quarantinedCount, 0);
  let done = shards.at(-1)?.itemsConsumed ?? 0;

  let rows: { pixels: Uint8Array; label: number | undefined }[] = [];
  let newlyBad: Quarantined[] = [];
  let newlyBadCount = 0;
  const report = (): void =>
    options.onProgress?.({ split: splitName, done, total: source.count, quarantined: bad, shards: shards.length });
  const flush = async (): Promise<void> => {
    if (rows.length === 0 || shape === undefined) return;
    const content = joinRows(rows);
    const key = shardKey(options.name, splitName, shards.length);
    const bytes = encodeShard(content, shape);
    await store.put(key, bytes);
    addToSums(content.images, rows[0]!.pixels.length);
    const shard = { key, sha256: sha256Hex(bytes), count: rows.length, bytes: bytes.length };
    shards.push({
      ...shard,
      imageShape: shape,
      itemsConsumed: done,
      quarantined: newlyBad,
      quarantinedCount: newlyBadCount,
    });
    [rows, newlyBad, newlyBadCount] = [[], [], 0];
    await journal.record(splitName, shards);
  };

  report();
  for await (const item of source.items(done)) {
    options.signal?.throwIfAborted();
    const prepared = item.kind === 'bad' ? item : tryPrepare(item, options.preprocessing);
    if (prepared.kind === 'image') {
      const itemShape: ImageShape = [prepared.height, prepared.width, prepared.channels];
      shape ??= itemShape;
      if (itemShape.join() !== shape.join())
        throw new ThawError(
          'THAW_DATA_INVALID',
          `${item.name} is [${itemShape.join(', ')}] after preprocessing, the images before it [${shape.join(', ')}].`,
          {
            cure: 'Choose a preprocessing that gives all images one size and number of channels.',
          },
        );
      rows.push({ pixels: prepared.pixels, label: prepared.label });
    } else {
      bad++;
      newlyBadCount++;
      const entry = { split: splitName, name: prepared.name, reason: prepared.reason };
      if (quarantined.length < maxQuarantineNames) {
        quarantined.push(entry);
        newlyBad.push(entry);
      }
    }
    done++;
    if (rows.length > 0 && (rows.length + 1) * rows[0]!.pixels.length > shardBytes) {
      await flush();
      report();
    }
  }
  await flush();
  report();
  const count = shards.reduce((sum, shard) => sum + shard.count, 0);
  assertUsable(splitName, count, bad, quarantined, options.maxBadShare ?? 0.05);
  const split = {
    count,
    quarantined: bad,
    shards: shards.map(({ key, sha256, count, bytes }) => ({ key, sha256, count, bytes })),
  };
  return { split, shape: shape!, quarantined, resumed, sums };
}

function tryPrepare(
  image: SourceImage,
  preprocessing: Preprocessing,
): SourceImage | { kind: 'bad'; name: string; reason: string } {
  try {
    return { ...image, ...prepareImage(image, preprocessing) };
  } catch (error) {
    if (!(error instanceof ThawError)) throw error;
    return { kind: 'bad', name: image.name, reason: error.message };
  }
}

function assertUsable(
  split: SplitName,
  count: number,
  bad: number,
  quarantined: readonly Quarantined[],
  maxBadShare: number,
): void {
  const first = quarantined[0] === undefined ? '' : ` The first: ${quarantined[0].name}: ${quarantined[0].reason}`;
  if (count === 0)
    throw new ThawError('THAW_DATA_INVALID', `The ${split} split has no usable image (${bad} unusable).${first}`);
  if (bad > maxBadShare * (count + bad))
    throw new ThawError(
      'THAW_DATA_INVALID',
      `${bad} of ${count + bad} images of the ${split} split cannot be used.${first}`,
      {
        cure: 'Correct or remove them, or allow a larger share of bad images.',
      },
    );
}

/** Labels are stored when every image of the shard has one. */
function joinRows(rows: readonly { pixels: Uint8Array; label: number | undefined }[]): {
  count: number;
  images: Uint8Array;
  labels?: Int32Array;
} {
  const size = rows[0]!.pixels.length;
  const images = new Uint8Array(rows.length * size);
  rows.forEach((row, i) => images.set(row.pixels, i * size));
  if (rows.some((row) => row.label === undefined)) return { count: rows.length, images };
  return { count: rows.length, images, labels: Int32Array.from(rows, (row) => row.label!) };
}
