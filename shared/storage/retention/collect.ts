/**
 * Garbage collection: manifests that the policy lets go, with what binds priors to them, then blobs that nothing names. Safe beside writers because
 * nothing younger than the grace period is touched, because `putBlob` renews the age of a blob that it finds, because
 * candidates are listed before anything is marked, and because a blob's age is read again just before it is removed. The
 * grace period must be longer than the writing of a checkpoint takes, and clocks may differ by less than it.
 */
import { priorKey, ThawError } from '../../protocol/index.js';
import { blobKey, blobPrefix, sha256Hex } from '../blobs/index.js';
import { listChannels, readHead, readLog, rollbackTargets } from '../channels/index.js';
import type { CheckpointManifest } from '../checkpoints/index.js';
import { checkpointKey, listCheckpoints, listRuns, readManifest } from '../checkpoints/index.js';
import { bindingsOf, readBinding } from '../priors/index.js';
import type { ObjectStore } from '../store/index.js';
import type { RetentionPolicy } from './policy.js';
import { chooseRetained } from './policy.js';

export interface CollectOptions {
  readonly policy: RetentionPolicy;
  /** Only checkpoints of these runs are removed; those of others stay, with all their blobs. All runs if not given. */
  readonly runs?: readonly string[];
  /** Wall-clock time, milliseconds since the epoch. */
  readonly nowMs: number;
  /** Nothing written more recently than this is removed. */
  readonly graceMs: number;
  /** Only say what would be done. */
  readonly dryRun: boolean;
  /** Checkpoints in use: by jobs, by evaluations. */
  readonly inUse?: readonly { readonly run: string; readonly step: number; readonly reason: string }[];
  /** SHA-256 of further blobs to keep, such as slices of a checkpoint that is being written. */
  readonly blobsInUse?: readonly string[];
  /** How many former checkpoints of each channel stay, so that it can be rolled back. 5 if not given. */
  readonly rollbackDepth?: number;
}

export interface CollectReport {
  readonly dryRun: boolean;
  readonly kept: readonly { readonly run: string; readonly step: number; readonly reasons: readonly string[] }[];
  readonly removedCheckpoints: readonly { readonly run: string; readonly step: number }[];
  /** SHA-256 of each. */
  readonly removedBlobs: readonly string[];
  readonly removedBytes: number;
  readonly keptBlobs: number;
}

/**
 * Removes what the policy does not keep.
 * @throws ThawError THAW_CHECKPOINT_INVALID, THAW_CHANNEL_CORRUPT or THAW_PRIOR_INVALID before anything is removed, if a manifest, a
 *   record or a prior cannot be read: what it names would be lost
 */
export async function collectGarbage(store: ObjectStore, options: CollectOptions): Promise<CollectReport> {
  const cutoffMs = options.nowMs - options.graceMs;
  const blobs: { sha256: string; size: number; old: boolean }[] = [];
  for await (const { key, size, modifiedMs } of store.list(blobPrefix))
    blobs.push({ sha256: key.slice(blobPrefix.length), size, old: modifiedMs <= cutoffMs });

  const channels = await readChannels(store, options.rollbackDepth ?? 5);
  const manifests = await readManifests(store);
  await priorsInUse(store, manifests);
  const governed = manifests.filter(({ run }) => options.runs?.includes(run) ?? true);
  const choice = chooseRetained(governed, options.policy, [...(options.inUse ?? []), ...channels.pins]);
  const removable = choice.remove.filter((checkpoint) => checkpoint.modifiedMs <= cutoffMs);
  const removed = options.dryRun ? removable : await removeManifests(store, removable, options);

  const gone = new Set(removed.map(({ run, step }) => checkpointKey(run, step)));
  // Read again: a checkpoint may have been committed since.
  const present = (await readManifests(store)).filter(({ run, step }) => !gone.has(checkpointKey(run, step)));
  const named = new Set([...channels.evidence, ...(options.blobsInUse ?? [])]);
  for (const { manifest } of present) for (const { sha256 } of manifest.slices) named.add(sha256);
  for (const sha256 of await priorsInUse(store, present)) named.add(sha256);
  if (!options.dryRun) await removeBindings(store, present, options, cutoffMs);
  const garbage = blobs.filter(({ sha256, old }) => old && !named.has(sha256));
  const swept = options.dryRun ? garbage : await removeBlobs(store, garbage, cutoffMs);
  return {
    dryRun: options.dryRun,
    kept: choice.keep.map(({ checkpoint: { run, step }, reasons }) => ({ run, step, reasons })),
    removedCheckpoints: removed.map(({ run, step }) => ({ run, step })),
    removedBlobs: swept.map(({ sha256 }) => sha256),
    removedBytes: swept.reduce((sum, { size }) => sum + size, 0),
    keptBlobs: blobs.length - swept.length,
  };
}

interface FoundManifest {
  readonly run: string;
  readonly step: number;
  readonly modifiedMs: number;
  readonly metrics: CheckpointManifest['metrics'];
  readonly manifest: CheckpointManifest;
  readonly manifestSha256: string;
}

const runsOf = (present: readonly FoundManifest[]): Set<string> => new Set(present.map(({ run }) => run));

/** SHA-256 of the priors of checkpoints, and of what those without one would get. */
async function priorsInUse(store: ObjectStore, present: readonly FoundManifest[]): Promise<Set<string>> {
  const inUse = new Set<string>();
  for (const run of runsOf(present)) {
    const current = await store.get(priorKey(run));
    if (current !== undefined) inUse.add(sha256Hex(current.bytes));
  }
  for (const checkpoint of present) {
    const bound = await readBinding(store, checkpoint);
    if (bound !== undefined) inUse.add(bound);
  }
  return inUse;
}

/** Removes what binds priors to checkpoints that are gone. */
async function removeBindings(
  store: ObjectStore,
  present: readonly FoundManifest[],
  { runs }: CollectOptions,
  cutoffMs: number,
): Promise<void> {
  const there = new Set(present.map(({ manifestSha256 }) => manifestSha256));
  for (const run of runsOf(present)) {
    if (!(runs?.includes(run) ?? true)) continue;
    for (const { key, manifestSha256, modifiedMs } of await bindingsOf(store, run))
      if (modifiedMs <= cutoffMs && !there.has(manifestSha256)) await store.delete(key);
  }
}

async function readManifests(store: ObjectStore): Promise<FoundManifest[]> {
  const found: FoundManifest[] = [];
  for (const run of await listRuns(store)) {
    for (const { step, modifiedMs } of await listCheckpoints(store, run)) {
      try {
        const { manifest, manifestSha256 } = await readManifest(store, run, step);
        found.push({ run, step, modifiedMs, metrics: manifest.metrics, manifest, manifestSha256 });
      } catch (error) {
        // Removed by another collection since it was listed.
        if (!(error instanceof ThawError) || error.code !== 'THAW_CHECKPOINT_NOT_FOUND') throw error;
      }
    }
  }
  return found;
}

async function readChannels(
  store: ObjectStore,
  rollbackDepth: number,
): Promise<{ pins: { run: string; step: number; reason: string }[]; evidence: Set<string> }> {
  const pins: { run: string; step: number; reason: string }[] = [];
  const evidence = new Set<string>();
  for (const channel of await listChannels(store)) {
    const records = [];
    for await (const stored of readLog(store, channel)) records.push(stored);
    const newest = (await readHead(store, channel))?.newest.record.seq ?? 0;
    if (newest > records.length)
      throw new ThawError('THAW_CHANNEL_CORRUPT', `Record ${records.length + 1} of channel ${channel} is missing.`);
    for (const { record } of records) if (record.evidence !== undefined) evidence.add(record.evidence);
    const served = rollbackTargets(records);
    for (const [age, { run, step }] of served.slice(0, rollbackDepth + 1).entries())
      pins.push({
        run,
        step,
        reason: age === 0 ? `served by channel ${channel}` : `channel ${channel} can go back to it`,
      });
  }
  return { pins, evidence };
}

/** Removes manifests, newest knowledge of channels permitting: one that has been promoted meanwhile stays. */
async function removeManifests(
  store: ObjectStore,
  removable: readonly FoundManifest[],
  options: CollectOptions,
): Promise<FoundManifest[]> {
  const removed: FoundManifest[] = [];
  for (const checkpoint of removable) {
    const { pins } = await readChannels(store, options.rollbackDepth ?? 5);
    if (pins.some(({ run, step }) => run === checkpoint.run && step === checkpoint.step)) continue;
    await store.delete(checkpointKey(checkpoint.run, checkpoint.step));
    removed.push(checkpoint);
  }
  return removed;
}

async function removeBlobs<B extends { sha256: string }>(
  store: ObjectStore,
  garbage: readonly B[],
  cutoffMs: number,
): Promise<B[]> {
  const removed: B[] = [];
  for (const blob of garbage) {
    const head = await store.head(blobKey(blob.sha256));
    if (head === undefined || head.modifiedMs > cutoffMs) continue;
    await store.delete(blobKey(blob.sha256));
    removed.push(blob);
  }
  return removed;
}
