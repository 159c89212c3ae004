/** Finding and loading checkpoints. Nothing is returned that was not verified against its hash. */
import { ThawError } from '../../protocol/index.js';
import { getBlob } from '../blobs/index.js';
import type { ObjectStore } from '../store/index.js';
import type { CheckpointManifest, StoredManifest } from './manifest.js';
import { checkpointKey, checkpointPrefix, decodeManifest, stepOfKey } from './manifest.js';
import type { RunState, StateGroup, StateTensor } from './run-state.js';
import type { StateSlice } from './slices.js';
import { assembleState, decodeSlice } from './slices.js';

/** Slices read at a time. */
const parallelReads = 4;

export interface ListedCheckpoint {
  readonly run: string;
  readonly step: number;
  readonly key: string;
  readonly modifiedMs: number;
}

/** The committed checkpoints of a run, in ascending order of step. Manifests are not read. */
export async function listCheckpoints(store: ObjectStore, run: string): Promise<ListedCheckpoint[]> {
  const found: ListedCheckpoint[] = [];
  for await (const { key, modifiedMs } of store.list(checkpointPrefix(run))) {
    const step = stepOfKey(key);
    if (step !== undefined) found.push({ run, step, key, modifiedMs });
  }
  return found;
}

/** The runs that have at least one checkpoint, in ascending order. */
export async function listRuns(store: ObjectStore): Promise<string[]> {
  const runs = new Set<string>();
  for await (const { key } of store.list('runs/')) {
    const match = /^runs\/([^/]+)\/checkpoints\//.exec(key);
    if (match !== null) runs.add(match[1]!);
  }
  return [...runs];
}

/** @throws ThawError THAW_CHECKPOINT_NOT_FOUND, THAW_CHECKPOINT_INVALID */
export async function readManifest(store: ObjectStore, run: string, step: number): Promise<StoredManifest> {
  const found = await store.get(checkpointKey(run, step));
  if (found === undefined)
    throw new ThawError('THAW_CHECKPOINT_NOT_FOUND', `Run ${run} has no checkpoint of step ${step}.`);
  return decodeManifest(found.bytes, run, step);
}

/**
 * The manifest of the newest checkpoint of a run, or undefined if it has none.
 * @param onInvalid called for a newer checkpoint whose manifest cannot be read, which is then passed over; without it, such a
 *   one is an error
 * @throws ThawError THAW_CHECKPOINT_INVALID
 */
export async function newestCheckpoint(
  store: ObjectStore,
  run: string,
  onInvalid?: (problem: ThawError, step: number) => void,
): Promise<StoredManifest | undefined> {
  for (const { step } of (await listCheckpoints(store, run)).reverse()) {
    try {
      return await readManifest(store, run, step);
    } catch (error) {
      if (!(error instanceof ThawError)) throw error;
      if (error.code === 'THAW_CHECKPOINT_NOT_FOUND') continue; // removed by retention since it was listed
      if (error.code !== 'THAW_CHECKPOINT_INVALID' || onInvalid === undefined) throw error;
      onInvalid(error, step);
    }
  }
  return undefined;
}

export interface LoadedCheckpoint extends StoredManifest {
  readonly state: RunState;
}

/**
 * Loads the whole state of a checkpoint and verifies every byte of it.
 * @throws ThawError THAW_CHECKPOINT_NOT_FOUND, THAW_CHECKPOINT_INVALID, THAW_BLOB_NOT_FOUND, THAW_BLOB_CORRUPT
 */
export async function loadCheckpoint(store: ObjectStore, run: string, step: number): Promise<LoadedCheckpoint> {
  const stored = await readManifest(store, run, step);
  const { manifest } = stored;
  const slices = await loadSlices(store, manifest, new Set(manifest.slices.map((slice) => slice.index)));
  const state = assembleState(slices);
  const { epoch, stepOfEpoch, beta1Product, beta2Product, historyDigest, skippedInARow } = manifest;
  const said = JSON.stringify([step, epoch, stepOfEpoch, beta1Product, beta2Product, historyDigest, skippedInARow]);
  const is = JSON.stringify([
    state.step,
    state.epoch,
    state.stepOfEpoch,
    state.beta1Product,
    state.beta2Product,
    state.historyDigest,
    state.skippedInARow,
  ]);
  if (said !== is)
    throw new ThawError(
      'THAW_CHECKPOINT_INVALID',
      `The manifest of step ${step} of run ${run} says ${said}, its slices ${is}.`,
    );
  return { ...stored, state };
}

/**
 * Loads the tensors of one group only (a sampler needs no Adam moments), from the slices that hold any of them.
 * @returns by official parameter name, without the group's prefix
 * @throws ThawError THAW_CHECKPOINT_INVALID, THAW_BLOB_NOT_FOUND, THAW_BLOB_CORRUPT
 */
export async function loadGroup(
  store: ObjectStore,
  manifest: CheckpointManifest,
  group: StateGroup,
): Promise<Record<string, StateTensor>> {
  const prefix = `${group}/`;
  const wanted = manifest.tensors.filter((tensor) => tensor.name.startsWith(prefix));
  const slices = await loadSlices(store, manifest, new Set(wanted.map((tensor) => tensor.slice)));
  const byIndex = new Map(slices.map((slice) => [slice.index, slice]));
  return Object.fromEntries(
    wanted.map(({ name, slice }) => [name.slice(prefix.length), byIndex.get(slice)!.tensors[name]!]),
  );
}

async function loadSlices(
  store: ObjectStore,
  manifest: CheckpointManifest,
  indices: ReadonlySet<number>,
): Promise<StateSlice[]> {
  const wanted = manifest.slices.filter((slice) => indices.has(slice.index));
  const slices: StateSlice[] = [];
  for (let from = 0; from < wanted.length; from += parallelReads) {
    const batch = wanted.slice(from, from + parallelReads);
    slices.push(...(await Promise.all(batch.map(async ({ sha256 }) => decodeSlice(await getBlob(store, sha256))))));
  }
  for (const [position, slice] of slices.entries()) checkAgainst(manifest, wanted[position]!.index, slice);
  return slices;
}

/** A slice must be the one that the manifest takes it for, and hold exactly the tensors that the manifest lists for it. */
function checkAgainst(manifest: CheckpointManifest, index: number, slice: StateSlice): void {
  const where = `Slice ${index} of step ${manifest.step} of run ${manifest.run}`;
  if (slice.index !== index || slice.count !== manifest.slices.length || slice.scalars.step !== manifest.step)
    throw new ThawError(
      'THAW_CHECKPOINT_INVALID',
      `${where} is really slice ${slice.index} of ${slice.count} of step ${slice.scalars.step}.`,
    );
  const listed = manifest.tensors.filter((tensor) => tensor.slice === index);
  const matches = listed.filter(({ name, dtype, shape }) => {
    const tensor = Object.hasOwn(slice.tensors, name) ? slice.tensors[name] : undefined;
    return tensor?.dtype === dtype && JSON.stringify(tensor.shape) === JSON.stringify(shape);
  });
  if (matches.length !== listed.length || listed.length !== Object.keys(slice.tensors).length)
    throw new ThawError(
      'THAW_CHECKPOINT_INVALID',
      `${where} does not hold the tensors that the manifest lists for it.`,
    );
}
