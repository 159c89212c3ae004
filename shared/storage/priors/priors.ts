/**
 * Priors of checkpoints. A run has a present prior (`runs/<run>/prior.json`), which checkpoints that have none yet will get; a checkpoint
 * gets its prior once (see `bindings`): when the first prior of the run is fitted, when the checkpoint is promoted, when images are first
 * generated from it, or when it is imported with one, whichever comes first. Fitting again changes the run's present prior and no
 * checkpoint's.
 */
import { decodeJson, priorKey, PriorSchema, ThawError, type Prior } from '../../protocol/index.js';
import { getBlob, putBlob, sha256Hex } from '../blobs/index.js';
import type { CheckpointRef } from '../checkpoints/index.js';
import { listCheckpoints, readManifest } from '../checkpoints/index.js';
import type { ObjectStore } from '../store/index.js';
import { readBinding, writeBinding } from './bindings.js';

/** A prior with the hash of its stored bytes. */
export interface StoredPrior {
  readonly sha256: string;
  readonly bytes: Uint8Array;
  readonly prior: Prior;
}

/** @throws ThawError THAW_PRIOR_INVALID */
export function decodePrior(bytes: Uint8Array, where: string): StoredPrior {
  return { sha256: sha256Hex(bytes), bytes, prior: decodeJson(bytes, PriorSchema, 'THAW_PRIOR_INVALID', where) };
}

/** What checkpoints of the run that have no prior yet will get. @throws ThawError THAW_PRIOR_INVALID */
export async function currentPrior(store: ObjectStore, run: string): Promise<StoredPrior | undefined> {
  const found = await store.get(priorKey(run));
  return found && decodePrior(found.bytes, `The prior of run ${run}`);
}

/**
 * Any prior in the store, by its SHA-256.
 * @throws ThawError THAW_BLOB_NOT_FOUND, THAW_BLOB_CORRUPT, THAW_PRIOR_INVALID
 */
export const priorByDigest = async (store: ObjectStore, sha256: string): Promise<StoredPrior> =>
  decodePrior(await getBlob(store, sha256), `The prior ${sha256}`);

/** The prior of a checkpoint, or the one that it would get now; nothing is written. @throws ThawError as {@link priorByDigest} */
export async function priorOf(store: ObjectStore, checkpoint: CheckpointRef): Promise<StoredPrior | undefined> {
  const bound = await readBinding(store, checkpoint);
  return bound === undefined ? currentPrior(store, checkpoint.run) : priorByDigest(store, bound);
}

/**
 * Gives a checkpoint the run's present prior unless it has one, for good.
 * @returns SHA-256 of the prior that it has; undefined: the run has none
 */
export async function bindPrior(store: ObjectStore, checkpoint: CheckpointRef): Promise<string | undefined> {
  const bound = await readBinding(store, checkpoint);
  if (bound !== undefined) return bound;
  const current = await currentPrior(store, checkpoint.run);
  return current && bind(store, checkpoint, current);
}

/** The blob first, anew: a collection under way leaves it, and nobody reads a binding whose prior is not there. */
async function bind(store: ObjectStore, checkpoint: CheckpointRef, { bytes, sha256 }: StoredPrior): Promise<string> {
  await putBlob(store, bytes, sha256);
  return writeBinding(store, checkpoint, sha256);
}

export interface StoredPriorReport {
  readonly sha256: string;
  /** Steps of the checkpoints that generate from it. */
  readonly bound: readonly number[];
  /** Steps of those that keep another one. */
  readonly others: readonly number[];
}

/**
 * Makes a prior the run's present one. Checkpoints keep what they have; those without one get the prior that was there before, which
 * they may have been used with, or this one if there was none.
 */
export async function storePrior(store: ObjectStore, run: string, prior: Prior): Promise<StoredPriorReport> {
  const before = await currentPrior(store, run);
  if (before !== undefined) await bindAll(store, run, before);
  const bytes = new TextEncoder().encode(`${JSON.stringify(PriorSchema.parse(prior))}\n`);
  const fitted = decodePrior(bytes, `The prior of run ${run}`);
  await store.put(priorKey(run), bytes);
  const priors = await bindAll(store, run, fitted);
  const steps = (mine: boolean): number[] =>
    priors.filter(({ sha256 }) => (sha256 === fitted.sha256) === mine).map(({ step }) => step);
  return { sha256: fitted.sha256, bound: steps(true), others: steps(false) };
}

async function bindAll(
  store: ObjectStore,
  run: string,
  prior: StoredPrior,
): Promise<{ readonly step: number; readonly sha256: string }[]> {
  await putBlob(store, prior.bytes, prior.sha256); // see `bind`; once for all of them
  const bound = [];
  for (const { step } of await listCheckpoints(store, run)) {
    try {
      const checkpoint = { run, step, manifestSha256: (await readManifest(store, run, step)).manifestSha256 };
      const sha256 = (await readBinding(store, checkpoint)) ?? (await writeBinding(store, checkpoint, prior.sha256));
      bound.push({ step, sha256 });
    } catch (error) {
      // Removed by retention since it was listed.
      if (!(error instanceof ThawError) || error.code !== 'THAW_CHECKPOINT_NOT_FOUND') throw error;
    }
  }
  return bound;
}

/** Gives a checkpoint a prior that came with its weights; the run's present one too, if it has none. */
export async function adoptPrior(store: ObjectStore, checkpoint: CheckpointRef, prior: StoredPrior): Promise<string> {
  await putBlob(store, prior.bytes, prior.sha256);
  await store.putIfAbsent(priorKey(checkpoint.run), prior.bytes);
  return bind(store, checkpoint, prior);
}
