/** The manifest of a checkpoint: what it is and which blobs it consists of. Written last, once, never changed. */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { decodeJson, ThawError } from '../../protocol/index.js';
import { checkName } from '../store/index.js';
import { stateGroups } from './run-state.js';

export const checkpointFormat = 'thaw.checkpoint/1';

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const count = z.int().min(0);
const name = z.string().regex(/^[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}$/);
const tensorName = z
  .string()
  .max(300)
  .refine((text) => stateGroups.some((group) => text.startsWith(`${group}/`)), {
    message: `must begin with one of ${stateGroups.join('/, ')}/`,
  });

/** A blob that holds some of the tensors. What a trainer reports when it has written one. */
export const SliceRecordSchema = z.strictObject({ index: count, sha256, bytes: count });
export type SliceRecord = z.infer<typeof SliceRecordSchema>;

export const TensorEntrySchema = z.strictObject({
  name: tensorName,
  dtype: z.enum(['F32', 'I8', 'I32']),
  shape: z.array(count).max(8),
  /** Index of the slice that holds it. */
  slice: count,
});
export type TensorEntry = z.infer<typeof TensorEntrySchema>;

/** A checkpoint by name and content. */
export const CheckpointRefSchema = z.strictObject({ run: name, step: count, manifestSha256: sha256 });
export type CheckpointRef = z.infer<typeof CheckpointRefSchema>;

/** What whoever commits a checkpoint says about it; the rest of the manifest is read from the slices. */
export const ManifestFieldsSchema = z.strictObject({
  run: name,
  step: count,
  /** The checkpoint from which this part of the run went on, or null if it began at step 0. */
  parent: CheckpointRefSchema.nullable(),
  configSha256: sha256,
  dataset: z.strictObject({ name, sha256 }),
  /** Engine fingerprint: what must be equal for equal bits. */
  fingerprint: z.string().min(1).max(4096),
  /** The weights were not trained here but come from this file (`thaw import`). */
  imported: z.strictObject({ fileSha256: sha256 }).optional(),
  /** Wall-clock time of the writer, milliseconds since the epoch. */
  createdMs: z.number().min(0),
  /** See `weightsSha256`; of the `weights` group. */
  weightsSha256: sha256.optional(),
  /** Numbers worth keeping, e.g. `loss`. */
  metrics: z.record(z.string().max(100), z.number()).optional(),
});
export type ManifestFields = z.infer<typeof ManifestFieldsSchema>;

export const CheckpointManifestSchema = ManifestFieldsSchema.extend({
  format: z.literal(checkpointFormat),
  epoch: count,
  stepOfEpoch: count,
  beta1Product: z.number(),
  beta2Product: z.number(),
  historyDigest: z
    .string()
    .regex(/^[0-9a-f]*$/)
    .max(128),
  skippedInARow: count,
  slices: z.array(SliceRecordSchema).min(1).max(4096),
  tensors: z.array(TensorEntrySchema).max(100_000),
});
export type CheckpointManifest = z.infer<typeof CheckpointManifestSchema>;

/** A manifest as stored. */
export interface StoredManifest {
  readonly manifest: CheckpointManifest;
  /** Of the stored bytes: names the checkpoint's whole content. */
  readonly manifestSha256: string;
}

export function checkpointPrefix(run: string): string {
  checkName('run', run);
  return `runs/${run}/checkpoints/`;
}

/** Steps are padded so that the order of keys is the order of steps. */
export function checkpointKey(run: string, step: number): string {
  if (!Number.isSafeInteger(step) || step < 0 || step > 9_999_999_999)
    throw new ThawError('THAW_CHECKPOINT_NOT_FOUND', `A checkpoint's step is a whole number from 0 on, not ${step}.`);
  return `${checkpointPrefix(run)}${String(step).padStart(10, '0')}.json`;
}

/** The step of a key made by {@link checkpointKey}, or undefined for any other key. */
export function stepOfKey(key: string): number | undefined {
  const match = /\/checkpoints\/(\d{10})\.json$/.exec(key);
  return match === null ? undefined : Number(match[1]);
}

export function encodeManifest(manifest: CheckpointManifest): Uint8Array {
  return new TextEncoder().encode(`${JSON.stringify(CheckpointManifestSchema.parse(manifest), undefined, 1)}\n`);
}

/**
 * Reads a manifest and checks that it is one, that it is the one asked for, and that it does not contradict itself.
 * @throws ThawError THAW_CHECKPOINT_INVALID
 */
export function decodeManifest(bytes: Uint8Array, run: string, step: number): StoredManifest {
  const where = `The manifest of step ${step} of run ${run}`;
  const manifest = decodeJson(bytes, CheckpointManifestSchema, 'THAW_CHECKPOINT_INVALID', where);
  if (manifest.run !== run || manifest.step !== step)
    throw new ThawError(
      'THAW_CHECKPOINT_INVALID',
      `${where} says it is of step ${manifest.step} of run ${manifest.run}.`,
    );
  const problem = contradiction(manifest);
  if (problem !== undefined) throw new ThawError('THAW_CHECKPOINT_INVALID', `${where} contradicts itself: ${problem}.`);
  return { manifest, manifestSha256: createHash('sha256').update(bytes).digest('hex') };
}

function contradiction(manifest: CheckpointManifest): string | undefined {
  for (const [position, slice] of manifest.slices.entries())
    if (slice.index !== position) return `slice number ${position} has the index ${slice.index}`;
  const names = new Set<string>();
  for (const { name: tensor, slice } of manifest.tensors) {
    if (names.has(tensor)) return `the tensor ${tensor} is listed twice`;
    if (slice >= manifest.slices.length)
      return `the tensor ${tensor} is in slice ${slice} of ${manifest.slices.length}`;
    names.add(tensor);
  }
  return undefined;
}
