/**
 * Writing checkpoints. Slices first, by any members; then the manifest, once, by whoever leads. A crash anywhere before the
 * manifest leaves blobs that a garbage collection removes; a reader sees the whole checkpoint or none of it.
 */
import { z } from 'zod';
import { ThawError } from '../../protocol/index.js';
import { getBlob, putBlob } from '../blobs/index.js';
import type { ObjectStore } from '../store/index.js';
import { hashStoredWeights, inspectSlices } from './inspect.js';
import type { CheckpointManifest, ManifestFields, SliceRecord, StoredManifest } from './manifest.js';
import { ManifestFieldsSchema, checkpointFormat, checkpointKey, decodeManifest, encodeManifest } from './manifest.js';
import type { RunState } from './run-state.js';
import type { EncodedSlice } from './slices.js';
import { encodeSlice, splitIntoSlices } from './slices.js';

/** Stores an encoded slice and returns what to report. */
export async function writeSlice(store: ObjectStore, slice: EncodedSlice): Promise<SliceRecord> {
  await putBlob(store, slice.bytes, slice.record.sha256);
  return slice.record;
}

/**
 * Reads a slice back and verifies it: how the last member left confirms what it wrote itself.
 * @throws ThawError THAW_BLOB_NOT_FOUND, THAW_BLOB_CORRUPT
 */
export async function readBackSlice(store: ObjectStore, record: SliceRecord): Promise<void> {
  const bytes = await getBlob(store, record.sha256);
  if (bytes.byteLength !== record.bytes)
    throw new ThawError(
      'THAW_BLOB_CORRUPT',
      `Slice ${record.index} has ${bytes.byteLength} bytes, not ${record.bytes}.`,
    );
}

export interface CommittedManifest extends StoredManifest {
  /** False if the same checkpoint had been committed before, by this process or another. */
  readonly created: boolean;
}

/**
 * Writes the manifest of a checkpoint whose slices are all written and confirmed. Reads the header of every slice first:
 * all must be there, have the reported size, and be the parts of one state at `fields.step`, with the history expected if one is
 * given. Unless the fields name it, the hash of the weights is computed, reading one tensor at a time.
 * @throws ThawError THAW_CHECKPOINT_INVALID or THAW_BLOB_NOT_FOUND before any effect; THAW_CHECKPOINT_CONFLICT if the step
 *   has a checkpoint of other content.
 */
export async function commitManifest(
  store: ObjectStore,
  fields: ManifestFields,
  slices: readonly SliceRecord[],
  expectedHistoryDigest?: string,
): Promise<CommittedManifest> {
  const parsed = ManifestFieldsSchema.safeParse(fields);
  if (!parsed.success)
    throw new ThawError('THAW_CHECKPOINT_INVALID', `A manifest cannot be written: ${z.prettifyError(parsed.error)}`);
  const checked = parsed.data;
  const ordered = [...slices].sort((a, b) => a.index - b.index);
  const inspected = await inspectSlices(store, ordered);
  const { scalars, tensors } = inspected;
  if (scalars.step !== checked.step)
    throw new ThawError(
      'THAW_CHECKPOINT_INVALID',
      `The slices are of step ${scalars.step}, not of step ${checked.step}.`,
    );
  if (expectedHistoryDigest !== undefined && scalars.historyDigest !== expectedHistoryDigest)
    throw new ThawError(
      'THAW_CHECKPOINT_INVALID',
      `The slices of step ${checked.step} have the history ${scalars.historyDigest}, not ${expectedHistoryDigest}.`,
    );
  const manifest: CheckpointManifest = {
    format: checkpointFormat,
    ...checked,
    weightsSha256: checked.weightsSha256 ?? (await hashStoredWeights(store, inspected)),
    ...scalars,
    slices: ordered.map(({ index, sha256, bytes }) => ({ index, sha256, bytes })),
    tensors,
  };
  const bytes = encodeManifest(manifest);
  const stored = decodeManifest(bytes, checked.run, checked.step);
  const key = checkpointKey(checked.run, checked.step);
  const { created } = await store.putIfAbsent(key, bytes);
  if (created) return { ...stored, created };
  const present = await store.get(key);
  if (present === undefined)
    throw new ThawError('THAW_STORE_AMBIGUOUS', `The manifest ${key} was there and was gone a moment later.`);
  const other = decodeManifest(present.bytes, checked.run, checked.step);
  const same = contentOf(other.manifest) === contentOf(manifest);
  if (!same)
    throw new ThawError(
      'THAW_CHECKPOINT_CONFLICT',
      `Step ${checked.step} of run ${checked.run} has a checkpoint with other slices or another configuration.`,
      { details: { present: other.manifest.slices, refused: manifest.slices } },
    );
  return { ...other, created };
}

/** What must be equal for two manifests to be of the same checkpoint: the state and what it was computed from. */
function contentOf(manifest: CheckpointManifest): string {
  const { configSha256, dataset, fingerprint, historyDigest, epoch, stepOfEpoch, tensors } = manifest;
  const digests = manifest.slices.map((slice) => slice.sha256);
  return JSON.stringify([
    configSha256,
    dataset.sha256,
    fingerprint,
    historyDigest,
    epoch,
    stepOfEpoch,
    tensors,
    digests,
  ]);
}

/** Writes a whole checkpoint from one process: slices, read back, then the manifest. */
export async function writeCheckpoint(
  store: ObjectStore,
  fields: Omit<ManifestFields, 'step'>,
  state: RunState,
  sliceCount: number,
): Promise<CommittedManifest> {
  const records: SliceRecord[] = [];
  for (const slice of splitIntoSlices(state, sliceCount)) {
    const record = await writeSlice(store, encodeSlice(slice));
    await readBackSlice(store, record);
    records.push(record);
  }
  return commitManifest(store, { ...fields, step: state.step }, records);
}
