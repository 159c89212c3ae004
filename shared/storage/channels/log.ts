/**
 * The log of a channel: records 1, 2, 3, ... each naming the hash of the one before. Writing record `seq + 1` by
 * put-if-absent is the one act that moves a channel; `head.json` is a cache that readers never have to trust.
 */
import { z } from 'zod';
import { ThawError } from '../../protocol/index.js';
import type { CheckpointRef } from '../checkpoints/manifest.js';
import type { ObjectStore } from '../store/index.js';
import type { ChannelRecord, ChannelRecordDraft, StoredRecord } from './record.js';
import {
  ChannelRecordDraftSchema,
  channelPrefix,
  channelRecordFormat,
  decodeRecord,
  encodeRecord,
  headKey,
  recordKey,
  seqOfKey,
} from './record.js';
import type { RecordSigner } from './signing.js';

const HeadCacheSchema = z.object({ seq: z.int().min(1) });

/** What a channel serves and the newest record that says so. */
export interface ChannelHead {
  readonly channel: string;
  /** The newest record; it may be a refusal. */
  readonly newest: StoredRecord;
  /** The checkpoint served; null while nothing was ever promoted. */
  readonly serving: CheckpointRef | null;
}

/**
 * The present head, or undefined for a channel without records. Costs three small reads: the cache says where to begin, the
 * log says what is true; a missing, stale or wrong cache only makes it slower.
 * @throws ThawError THAW_CHANNEL_CORRUPT
 */
export async function readHead(store: ObjectStore, channel: string): Promise<ChannelHead | undefined> {
  const cached = await readCachedSeq(store, channel);
  let newest = cached === undefined ? undefined : await readRecord(store, channel, cached);
  newest ??= await newestByListing(store, channel);
  if (newest === undefined) return undefined;
  for (;;) {
    const next = await readRecord(store, channel, newest.record.seq + 1);
    if (next === undefined) return { channel, newest, serving: newest.record.head };
    newest = next;
  }
}

/** The record `seq`, or undefined if there is none. @throws ThawError THAW_CHANNEL_CORRUPT */
export async function readRecord(store: ObjectStore, channel: string, seq: number): Promise<StoredRecord | undefined> {
  const found = await store.get(recordKey(channel, seq));
  return found && decodeRecord(found.bytes, channel, seq);
}

/** The records from `fromSeq` on, in order. @throws ThawError THAW_CHANNEL_CORRUPT */
export async function* readLog(store: ObjectStore, channel: string, fromSeq = 1): AsyncGenerator<StoredRecord> {
  for (let seq = fromSeq; ; seq += 1) {
    const stored = await readRecord(store, channel, seq);
    if (stored === undefined) return;
    yield stored;
  }
}

/** Names of the channels that have records, in ascending order. */
export async function listChannels(store: ObjectStore): Promise<string[]> {
  const names = new Set<string>();
  for await (const { key } of store.list('channels/')) {
    const match = /^channels\/([^/]+)\/log\//.exec(key);
    if (match !== null) names.add(match[1]!);
  }
  return [...names];
}

export interface AppendOptions {
  /** Signs the record (THAW_AUDIT_KEY). */
  readonly signer?: RecordSigner;
  /**
   * The sequence number of the newest record on which the decision is based (0: none). If the channel has moved on, nothing is
   * written: THAW_CHANNEL_MOVED. Without it the record lands behind whatever is there.
   */
  readonly expectedSeq?: number;
}

/**
 * Appends a record. Of appenders that race each lands behind the other; none is lost. The record's time is never before its
 * predecessor's, so that the log has one order in time as well.
 * @throws ThawError THAW_CHANNEL_MOVED, THAW_CHANNEL_INVALID, THAW_CHANNEL_CORRUPT
 */
export async function appendRecord(
  store: ObjectStore,
  channel: string,
  draft: ChannelRecordDraft,
  options: AppendOptions = {},
): Promise<StoredRecord> {
  channelPrefix(channel);
  const parsed = ChannelRecordDraftSchema.safeParse(draft);
  if (!parsed.success)
    throw new ThawError(
      'THAW_CHANNEL_INVALID',
      `A record for channel ${channel} is not valid: ${z.prettifyError(parsed.error)}`,
    );
  let previous = (await readHead(store, channel))?.newest;
  for (;;) {
    const seq = (previous?.record.seq ?? 0) + 1;
    if (options.expectedSeq !== undefined && options.expectedSeq !== seq - 1)
      throw new ThawError(
        'THAW_CHANNEL_MOVED',
        `Channel ${channel} is at record ${seq - 1}; the decision was made at record ${options.expectedSeq}.`,
      );
    const record = successor(channel, previous, parsed.data, options.signer);
    const bytes = encodeRecord(record);
    const { created } = await store.putIfAbsent(recordKey(channel, seq), bytes);
    if (created) {
      await writeHeadCache(store, channel, seq);
      return decodeRecord(bytes, channel, seq);
    }
    const winner = await readRecord(store, channel, seq);
    if (winner === undefined)
      throw new ThawError(
        'THAW_CHANNEL_CORRUPT',
        `Record ${seq} of channel ${channel} was there and is gone; logs never shrink.`,
      );
    previous = winner;
  }
}

/** The record that follows `previous`. Pure. */
export function successor(
  channel: string,
  previous: StoredRecord | undefined,
  draft: ChannelRecordDraft,
  signer?: RecordSigner,
): ChannelRecord {
  const record: ChannelRecord = {
    format: channelRecordFormat,
    channel,
    seq: (previous?.record.seq ?? 0) + 1,
    previous: previous?.sha256 ?? null,
    ...draft,
    timeMs: Math.max(draft.timeMs, previous?.record.timeMs ?? 0),
    head: headAfter(previous?.record.head ?? null, draft),
  };
  return signer === undefined ? record : { ...record, signature: signer.sign(record) };
}

/** What a channel serves after a record: a refusal changes nothing. Pure. */
export function headAfter(
  before: CheckpointRef | null,
  { action, run, step, manifestSha256 }: Pick<ChannelRecord, 'action' | 'run' | 'step' | 'manifestSha256'>,
): CheckpointRef | null {
  return action === 'refuse' ? before : { run, step, manifestSha256 };
}

/** Writes the cache anew from the log. @returns the head, or undefined for a channel without records */
export async function rebuildHead(store: ObjectStore, channel: string): Promise<ChannelHead | undefined> {
  const newest = await newestByListing(store, channel);
  if (newest === undefined) {
    await store.delete(headKey(channel));
    return undefined;
  }
  await writeHeadCache(store, channel, newest.record.seq);
  return readHead(store, channel);
}

async function newestByListing(store: ObjectStore, channel: string): Promise<StoredRecord | undefined> {
  let last = 0;
  for await (const { key } of store.list(`${channelPrefix(channel)}log/`)) last = Math.max(last, seqOfKey(key) ?? 0);
  return last === 0 ? undefined : readRecord(store, channel, last);
}

async function readCachedSeq(store: ObjectStore, channel: string): Promise<number | undefined> {
  const found = await store.get(headKey(channel));
  if (found === undefined) return undefined;
  try {
    return HeadCacheSchema.parse(JSON.parse(new TextDecoder().decode(found.bytes))).seq;
  } catch {
    return undefined; // a cache: whatever is wrong with it, the log answers
  }
}

async function writeHeadCache(store: ObjectStore, channel: string, seq: number): Promise<void> {
  await store.put(headKey(channel), new TextEncoder().encode(`${JSON.stringify({ seq })}\n`));
}
