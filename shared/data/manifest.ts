/** What a packed data set is: `datasets/<name>/manifest.json`, written last. */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { decodeJson, NameSchema, Sha256Schema, ThawError } from '@thaw/shared/protocol';
import type { ObjectStore } from '@thaw/shared/storage';

export const datasetFormat = 'thaw.dataset/1';
const ShapeSchema = z.tuple([
  z.int().min(1).max(65_536),
  z.int().min(1).max(65_536),
  z.union([z.literal(1), z.literal(3)]),
]);

/** How source images become the stored size. See `prepareImage`. */
export const PreprocessingSchema = z.strictObject({
  /**
   * none: stored as they are, all must have the stored size; pad: zeros around the image, centred;
   * pillow-bilinear: resized to size x size, aspect ignored; pillow-bilinear-crop: shorter side to `size`, centre crop.
   */
  method: z.enum(['none', 'pad', 'pillow-bilinear', 'pillow-bilinear-crop']),
  /** Edge of the stored square image, pixels. With `none` the size of the source. */
  size: z.int().min(1).max(4096).optional(),
  /** Stored channels; colour becomes ITU-R 601-2 luma, grey is repeated. Default: as the source. */
  channels: z.union([z.literal(1), z.literal(3)]).optional(),
});

export const ShardSchema = z.strictObject({
  /** Object key. */
  key: z.string().min(1).max(512),
  sha256: Sha256Schema,
  /** Images. */
  count: z.int().min(1),
  /** Size of the object. */
  bytes: z.int().min(1),
});
export const SplitSchema = z.strictObject({
  /** Images of all shards. */
  count: z.int().min(1),
  /** Source images that could not be used. */
  quarantined: z.int().min(0),
  shards: z.array(ShardSchema).min(1),
});
export const QuarantinedSchema = z.strictObject({ split: z.string(), name: z.string(), reason: z.string() });

export const DatasetManifestSchema = z
  .strictObject({
    format: z.literal(datasetFormat),
    name: NameSchema,
    /** [height, width, channels] of the stored images. */
    imageShape: ShapeSchema,
    preprocessing: PreprocessingSchema,
    splits: z.strictObject({ train: SplitSchema, test: SplitSchema.optional() }),
    /** Safetensors with `mean` F32 [height, width, channels]: mean of the train split on the scale 0 .. 255. */
    meanTrain: z.strictObject({ key: z.string().min(1).max(512), sha256: Sha256Schema }),
    /** The first of the images that could not be used, by name. All are counted in their split. */
    quarantined: z.array(QuarantinedSchema),
    /** What the data set is, whatever its name: see {@link contentSha256}. */
    contentSha256: Sha256Schema,
  })
  .superRefine((manifest, ctx) => {
    for (const [split, value] of Object.entries(manifest.splits)) {
      const sum = value?.shards.reduce((total, shard) => total + shard.count, 0);
      if (value !== undefined && sum !== value.count)
        ctx.addIssue({
          code: 'custom',
          path: ['splits', split, 'count'],
          message: `is ${value.count} but the shards hold ${sum}`,
        });
    }
  });

export type Preprocessing = z.infer<typeof PreprocessingSchema>;
export type Shard = z.infer<typeof ShardSchema>;
export type Split = z.infer<typeof SplitSchema>;
export type SplitName = 'train' | 'test';
export type Quarantined = z.infer<typeof QuarantinedSchema>;
export type DatasetManifest = z.infer<typeof DatasetManifestSchema>;
export type ImageShape = DatasetManifest['imageShape'];

export const manifestKey = (name: string): string => `datasets/${name}/manifest.json`;
export const meanTrainKey = (name: string): string => `datasets/${name}/mean-train.safetensors`;
export const shardKey = (name: string, split: SplitName, index: number): string =>
  `datasets/${name}/${split}-${String(index).padStart(5, '0')}.safetensors`;

export const sha256Hex = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** SHA-256 of the JSON of [format, imageShape, preprocessing, [split, [count, sha256] of every shard] of every split, sha256 of the mean]. */
export function contentSha256(manifest: Omit<DatasetManifest, 'contentSha256'>): string {
  const { method, size, channels } = manifest.preprocessing;
  const splits = (['train', 'test'] as const).flatMap((name) => {
    const split = manifest.splits[name];
    return split === undefined ? [] : [[name, split.shards.map((shard) => [shard.count, shard.sha256])]];
  });
  const content = [
    datasetFormat,
    manifest.imageShape,
    [method, size ?? null, channels ?? null],
    splits,
    manifest.meanTrain.sha256,
  ];
  return sha256Hex(new TextEncoder().encode(JSON.stringify(content)));
}

/** The bytes of the manifest object. */
export const encodeManifest = (manifest: DatasetManifest): Uint8Array =>
  new TextEncoder().encode(`${JSON.stringify(manifest, null, 2)}\n`);

/** @throws ThawError THAW_DATA_CORRUPT for anything but a consistent manifest. */
export function decodeManifest(bytes: Uint8Array, key: string): DatasetManifest {
  const manifest = decodeJson(bytes, DatasetManifestSchema, 'THAW_DATA_CORRUPT', `The manifest ${key}`);
  const digest = contentSha256(manifest);
  if (digest !== manifest.contentSha256)
    throw new ThawError(
      'THAW_DATA_CORRUPT',
      `${key} states content ${manifest.contentSha256}, but its parts give ${digest}.`,
    );
  return manifest;
}

/**
 * Reads and checks a manifest.
 * @throws ThawError THAW_DATASET_NOT_FOUND, THAW_DATA_CORRUPT, THAW_CONFIG_INVALID for a name that is none.
 */
export async function loadManifest(store: ObjectStore, name: string): Promise<DatasetManifest> {
  if (!NameSchema.safeParse(name).success)
    throw new ThawError('THAW_CONFIG_INVALID', `"${name}" is not the name of a data set.`);
  const key = manifestKey(name);
  const object = await store.get(key);
  if (object === undefined)
    throw new ThawError('THAW_DATASET_NOT_FOUND', `The object store holds no data set "${name}" (${key}).`);
  return decodeManifest(object.bytes, key);
}
