/** A record of a channel's log: one promotion, refusal or rollback. The log is the truth about what is served. */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { decodeJson, ThawError } from '../../protocol/index.js';
import { CheckpointRefSchema } from '../checkpoints/manifest.js';
import { checkName } from '../store/index.js';

export const channelRecordFormat = 'thaw.channel-record/1';

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);

export const ChannelActionSchema = z.enum(['promote', 'refuse', 'rollback']);
export type ChannelAction = z.infer<typeof ChannelActionSchema>;

/** Ed25519 over the record without its `signature`. */
export const SignatureSchema = z.strictObject({
  /** First 16 hex digits of the SHA-256 of the public key (SPKI, DER). */
  keyId: z.string().regex(/^[0-9a-f]{16}$/),
  /** Base64. */
  value: z.string().max(200),
});

/** What whoever moves (or refuses to move) a channel says. */
export const ChannelRecordDraftSchema = z.strictObject({
  action: ChannelActionSchema,
  /** The checkpoint promoted, refused, or gone back to. */
  ...CheckpointRefSchema.shape,
  /** Who decided: a person, a policy, a service. */
  actor: z.string().min(1).max(200),
  reason: z.string().max(2000).optional(),
  /** SHA-256 of a blob that holds the evidence (results of the gate), kept as long as the log names it. */
  evidence: sha256.optional(),
  /** SHA-256 of the prior that images are generated from with this checkpoint, where it has one. */
  prior: sha256.optional(),
  /** Wall-clock time of the decision, milliseconds since the epoch. */
  timeMs: z.number().min(0),
});
export type ChannelRecordDraft = z.infer<typeof ChannelRecordDraftSchema>;

export const ChannelRecordSchema = ChannelRecordDraftSchema.extend({
  format: z.literal(channelRecordFormat),
  channel: z.string().max(100),
  /** 1, 2, 3, ... without gaps. */
  seq: z.int().min(1),
  /** SHA-256 of the stored bytes of record `seq - 1`; null for the first. */
  previous: sha256.nullable(),
  /** What the channel serves after this record; null while nothing was ever promoted. */
  head: CheckpointRefSchema.nullable(),
  signature: SignatureSchema.optional(),
});
export type ChannelRecord = z.infer<typeof ChannelRecordSchema>;

/** A record with the hash of its stored bytes, which the next record names. */
export interface StoredRecord {
  readonly record: ChannelRecord;
  readonly sha256: string;
}

export function channelPrefix(channel: string): string {
  checkName('channel', channel);
  return `channels/${channel}/`;
}

/** Sequence numbers are padded so that the order of keys is the order of records. */
export function recordKey(channel: string, seq: number): string {
  return `${channelPrefix(channel)}log/${String(seq).padStart(10, '0')}.json`;
}

export function headKey(channel: string): string {
  return `${channelPrefix(channel)}head.json`;
}

/** The sequence number of a key made by {@link recordKey}, or undefined for any other key. */
export function seqOfKey(key: string): number | undefined {
  const match = /\/log\/(\d{10})\.json$/.exec(key);
  return match === null ? undefined : Number(match[1]);
}

/** One text for one value: keys sorted at every level, no white space. What is hashed and signed. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) =>
    part !== null && typeof part === 'object' && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
}

export function encodeRecord(record: ChannelRecord): Uint8Array {
  return new TextEncoder().encode(`${canonicalJson(ChannelRecordSchema.parse(record))}\n`);
}

/** The bytes that a signature covers. */
export function signedBytes(record: ChannelRecord): Uint8Array {
  const { signature: _signature, ...rest } = record;
  return new TextEncoder().encode(canonicalJson(rest));
}

/**
 * Reads a stored record and checks that it is the one that its key says.
 * @throws ThawError THAW_CHANNEL_CORRUPT
 */
export function decodeRecord(bytes: Uint8Array, channel: string, seq: number): StoredRecord {
  const where = `Record ${seq} of channel ${channel}`;
  const record = decodeJson(bytes, ChannelRecordSchema, 'THAW_CHANNEL_CORRUPT', where);
  if (record.channel !== channel || record.seq !== seq)
    throw new ThawError(
      'THAW_CHANNEL_CORRUPT',
      `${where} says it is record ${record.seq} of channel ${record.channel}.`,
    );
  return { record, sha256: createHash('sha256').update(bytes).digest('hex') };
}
