/** Committing manifests and listing what is stored: checkpoints, channels, evaluations. */
import { EvaluateResultSchema, type EvaluateResult } from '@thaw/shared/protocol';
import type { Clock } from '@thaw/shared/runtime';
import {
  commitManifest,
  listChannels,
  listCheckpoints,
  readHead,
  readManifest,
  type CheckpointRef,
  type ObjectStore,
  type SliceRecord,
  type StoredRun,
} from '@thaw/shared/storage';
import type { CoordinatorEffect } from '../lead/index.js';
import type { Status } from '../views/status.js';

export interface CommitContext {
  readonly store: ObjectStore;
  readonly run: StoredRun;
  readonly dataset: { readonly name: string; readonly sha256: string };
  readonly parent: CheckpointRef | null;
  readonly clock: Clock;
}

/** Checks the slices, hashes the weights and writes the manifest (put if absent). Returns the checkpoint, the parent of the next. */
export async function commitCheckpoint(
  context: CommitContext,
  effect: Extract<CoordinatorEffect, { kind: 'commitManifest' }>,
): Promise<CheckpointRef> {
  const { store, run, dataset, parent, clock } = context;
  const records: SliceRecord[] = effect.slices.map(({ slice, sha256, bytes }) => ({ index: slice, sha256, bytes }));
  const { manifestSha256 } = await commitManifest(
    store,
    {
      run: run.config.name,
      step: effect.head.step,
      parent,
      configSha256: run.configSha256,
      dataset,
      fingerprint: effect.fingerprint,
      createdMs: clock.wallTimeMs(),
    },
    records,
    effect.head.historyDigest,
  );
  return { run: run.config.name, step: effect.head.step, manifestSha256 };
}

/** The newest checkpoints, newest first. */
export async function checkpointViews(store: ObjectStore, run: string, limit = 50): Promise<Status['checkpoints']> {
  const listed = (await listCheckpoints(store, run)).slice(-limit).reverse();
  return Promise.all(
    listed.map(async ({ step }) => {
      const { manifest } = await readManifest(store, run, step);
      return { step, weightsSha256: manifest.weightsSha256 ?? '', createdMs: manifest.createdMs };
    }),
  );
}

export async function channelViews(store: ObjectStore): Promise<Status['channels']> {
  const heads = await Promise.all((await listChannels(store)).map((name) => readHead(store, name)));
  return heads.flatMap((head) =>
    head === undefined || head.serving === null
      ? []
      : [
          {
            name: head.channel,
            run: head.serving.run,
            step: head.serving.step,
            seq: head.newest.record.seq,
            action: head.newest.record.action,
            sha256: head.newest.sha256,
          },
        ],
  );
}

const evaluationPrefix = (run: string): string => `runs/${run}/evaluations/`;
export const evaluationPicture = (run: string, step: number): string =>
  `${evaluationPrefix(run)}${String(step).padStart(8, '0')}.png`;

/** Evaluations that samplers have stored; one that cannot be read is left out. */
export async function storedEvaluations(store: ObjectStore, run: string): Promise<EvaluateResult[]> {
  const found: EvaluateResult[] = [];
  for await (const { key } of store.list(evaluationPrefix(run))) {
    if (!key.endsWith('.json')) continue;
    const object = await store.get(key);
    if (object === undefined) continue;
    const parsed = EvaluateResultSchema.safeParse(jsonOf(object.bytes));
    if (parsed.success) found.push(parsed.data);
  }
  return found;
}

function jsonOf(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return undefined;
  }
}
