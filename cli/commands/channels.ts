/** `thaw checkpoints`, `promote`, `rollback`, `audit`: what is stored and what is served. */
import { readFileSync } from 'node:fs';
import type { Status } from '@thaw/coordinator';
import { channelNames, ThawError } from '@thaw/shared/protocol';
import { openStore, readLog, recordVerifier, servedAt, verifyChain, type ChannelRecord } from '@thaw/shared/storage';
import { callJson, type ApiTarget } from '../cluster/api.js';
import { table } from '../terminal/output.js';

export interface Moved {
  readonly channel: string;
  readonly action: string;
  readonly run: string;
  readonly step: number;
  readonly seq: number;
  readonly sha256: string;
}

export const promoteTo = (target: ApiTarget, channel: string, step: number, actor: string): Promise<Moved> =>
  callJson(target, `/v1/channels/${encodeURIComponent(channel)}/promote`, { json: { step, actor } });

export const rollBack = (target: ApiTarget, channel: string, actor: string): Promise<Moved> =>
  callJson(target, `/v1/channels/${encodeURIComponent(channel)}/rollback`, { json: { actor } });

export async function listCheckpointsOf(
  target: ApiTarget,
): Promise<{ checkpoints: Status['checkpoints']; channels: Status['channels'] }> {
  const { checkpoints, channels } = await callJson<Status>(target, '/v1/status');
  return { checkpoints, channels };
}

export function checkpointTable({ checkpoints, channels }: Awaited<ReturnType<typeof listCheckpointsOf>>): string {
  if (checkpoints.length === 0) return 'There is no checkpoint yet.';
  const ratio = (value: number | undefined): string => value?.toFixed(3) ?? '-';
  return table([
    ['STEP', 'WEIGHTS SHA-256', 'L1', 'RMSE', 'CHANNELS'],
    ...checkpoints.map(({ step, weightsSha256, l1Ratio, rmseRatio }) => [
      String(step),
      weightsSha256.slice(0, 16),
      ratio(l1Ratio),
      ratio(rmseRatio),
      channels
        .filter((channel) => channel.step === step)
        .map(({ name }) => name)
        .join(', '),
    ]),
  ]);
}

/** A channel that does not exist has no records, which would look like a whole chain. @throws ThawError THAW_CHANNEL_UNKNOWN */
function checkChannel(channel: string): void {
  if (!(channelNames as readonly string[]).includes(channel))
    throw new ThawError('THAW_CHANNEL_UNKNOWN', `There is no channel ${JSON.stringify(channel)}.`);
}

/**
 * Recomputes the hash chain of a channel.
 * @param keyFiles public keys in PEM; with any, every record must be signed with one of them
 */
export async function auditVerify(
  storeUrl: string,
  channel: string,
  anchor: { readonly seq: number | undefined; readonly sha256: string } | undefined,
  keyFiles: readonly string[],
): Promise<Awaited<ReturnType<typeof verifyChain>>> {
  checkChannel(channel);
  const verifiers = keyFiles.map((file) => recordVerifier(readFileSync(file, 'utf8')));
  return verifyChain(await openStore(storeUrl), channel, { verifiers, ...(anchor !== undefined && { anchor }) });
}

/** What a channel served at a time; undefined before its first promotion. */
export async function auditAt(storeUrl: string, channel: string, timeMs: number): Promise<ChannelRecord | undefined> {
  checkChannel(channel);
  return (await servedAt(await openStore(storeUrl), channel, timeMs))?.record;
}

export async function auditLog(storeUrl: string, channel: string): Promise<ChannelRecord[]> {
  checkChannel(channel);
  const records: ChannelRecord[] = [];
  for await (const { record } of readLog(await openStore(storeUrl), channel)) records.push(record);
  return records;
}
