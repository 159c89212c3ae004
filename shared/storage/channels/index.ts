/** Channels: named streams of served checkpoints, each an append-only log. */
export {
  ChannelActionSchema,
  ChannelRecordDraftSchema,
  ChannelRecordSchema,
  channelPrefix,
  channelRecordFormat,
  headKey,
  recordKey,
} from './record.js';
export type { ChannelAction, ChannelRecord, ChannelRecordDraft, StoredRecord } from './record.js';
export { appendRecord, listChannels, readHead, readLog, readRecord, rebuildHead } from './log.js';
export type { AppendOptions, ChannelHead } from './log.js';
export { isServing, promote, refuse, rollback, rollbackTarget, rollbackTargets, servedAt } from './actions.js';
export type { Decision } from './actions.js';
export { verifyChain } from './verify.js';
export type { ChainProblem, ChainReport, VerifyOptions } from './verify.js';
export { recordSigner, recordVerifier } from './signing.js';
export type { RecordSigner, RecordVerifier } from './signing.js';
