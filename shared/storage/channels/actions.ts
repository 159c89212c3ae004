/** Moving a channel: promote, refuse, roll back. What is decided by whom is the caller's matter; here it becomes a record. */
import { ThawError } from '../../protocol/index.js';
import type { CheckpointRef } from '../checkpoints/manifest.js';
import { readManifest } from '../checkpoints/load.js';
import { bindPrior } from '../priors/index.js';
import type { ObjectStore } from '../store/index.js';
import type { AppendOptions } from './log.js';
import { appendRecord, readHead, readLog } from './log.js';
import type { StoredRecord } from './record.js';

/** Who decides, when, why and on what evidence. */
export interface Decision {
  readonly actor: string;
  readonly timeMs: number;
  readonly reason?: string;
  /** SHA-256 of a blob. */
  readonly evidence?: string;
}

/**
 * Makes a channel serve a checkpoint, which must exist.
 * @throws ThawError THAW_CHECKPOINT_NOT_FOUND, THAW_CHECKPOINT_INVALID, THAW_CHANNEL_MOVED
 */
export async function promote(
  store: ObjectStore,
  channel: string,
  checkpoint: { readonly run: string; readonly step: number },
  decision: Decision,
  options: AppendOptions = {},
): Promise<StoredRecord> {
  return decide('promote', store, channel, checkpoint, decision, options);
}

/** Records that a checkpoint was not let in. The channel goes on serving what it served. */
export async function refuse(
  store: ObjectStore,
  channel: string,
  checkpoint: { readonly run: string; readonly step: number },
  decision: Decision,
  options: AppendOptions = {},
): Promise<StoredRecord> {
  return decide('refuse', store, channel, checkpoint, decision, options);
}

/** A record about a checkpoint, which must exist. */
async function decide(
  action: 'promote' | 'refuse',
  store: ObjectStore,
  channel: string,
  { run, step }: { readonly run: string; readonly step: number },
  decision: Decision,
  options: AppendOptions,
): Promise<StoredRecord> {
  const { manifestSha256 } = await readManifest(store, run, step);
  const checkpoint = { run, step, manifestSha256 };
  const prior = action === 'promote' ? await priorOfServed(store, checkpoint) : {};
  return appendRecord(store, channel, { action, ...checkpoint, ...prior, ...decision }, options);
}

/**
 * What is served generates from one prior for good: it is bound before the record, which names it. A prior that cannot be read keeps no
 * weights from being served; generating says what is wrong with it.
 */
async function priorOfServed(store: ObjectStore, checkpoint: CheckpointRef): Promise<{ readonly prior?: string }> {
  try {
    const prior = await bindPrior(store, checkpoint);
    return prior === undefined ? {} : { prior };
  } catch (error) {
    if (error instanceof ThawError && error.code === 'THAW_PRIOR_INVALID') return {};
    throw error;
  }
}

/**
 * Moves a channel back to what it served before, see {@link rollbackTarget}, which must still exist. If somebody else moves
 * the channel at the same time, nothing is done: what "before" means has changed.
 * @throws ThawError THAW_CHANNEL_NOT_FOUND if there is nothing to go back to, THAW_CHECKPOINT_NOT_FOUND, THAW_CHANNEL_MOVED
 */
export async function rollback(
  store: ObjectStore,
  channel: string,
  decision: Decision,
  options: Omit<AppendOptions, 'expectedSeq'> = {},
): Promise<StoredRecord> {
  const records: StoredRecord[] = [];
  for await (const stored of readLog(store, channel)) records.push(stored);
  const target = rollbackTarget(records);
  if (target === undefined)
    throw new ThawError(
      'THAW_CHANNEL_NOT_FOUND',
      `Channel ${channel} has served nothing before that it could go back to.`,
    );
  const { run, step, manifestSha256 } = target;
  const present = await readManifest(store, run, step);
  if (present.manifestSha256 !== manifestSha256)
    throw new ThawError('THAW_CHECKPOINT_INVALID', `Step ${step} of run ${run} is not what channel ${channel} served.`);
  const prior = await priorOfServed(store, target);
  const draft = { action: 'rollback', run, step, manifestSha256, ...prior, ...decision } as const;
  return appendRecord(store, channel, draft, { ...options, expectedSeq: records.length });
}

/** Where a rollback leads: the checkpoint that the present one replaced. Pure. */
export function rollbackTarget(records: readonly StoredRecord[]): CheckpointRef | undefined {
  return rollbackTargets(records)[1];
}

/**
 * What is served, then what each further rollback would lead to. Several rollbacks in a row go further and further back;
 * a promotion that was rolled back is not returned to. Pure.
 */
export function rollbackTargets(records: readonly StoredRecord[]): CheckpointRef[] {
  const served: CheckpointRef[] = [];
  for (const { record } of records) {
    if (record.head === null || record.action === 'refuse') continue;
    const { head } = record;
    if (record.action === 'rollback') while (served.length > 0 && !sameCheckpoint(served[0]!, head)) served.shift();
    if (served.length === 0 || !sameCheckpoint(served[0]!, head)) served.unshift(head);
  }
  return served;
}

/** What the channel served at a time, by its log; undefined before the first promotion. @throws ThawError THAW_CHANNEL_CORRUPT */
export async function servedAt(store: ObjectStore, channel: string, timeMs: number): Promise<StoredRecord | undefined> {
  let last: StoredRecord | undefined;
  for await (const stored of readLog(store, channel)) {
    if (stored.record.timeMs > timeMs) break;
    if (stored.record.action !== 'refuse') last = stored;
  }
  return last;
}

/** Whether a channel serves exactly this checkpoint now. */
export async function isServing(store: ObjectStore, channel: string, checkpoint: CheckpointRef): Promise<boolean> {
  const serving = (await readHead(store, channel))?.serving ?? null;
  return serving !== null && sameCheckpoint(serving, checkpoint);
}

function sameCheckpoint(a: CheckpointRef, b: CheckpointRef): boolean {
  return a.run === b.run && a.step === b.step && a.manifestSha256 === b.manifestSha256;
}
