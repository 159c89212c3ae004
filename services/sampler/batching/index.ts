/** Batching: which rows share the next network call. */
export { batchingAfter, emptyBatching, nextBatch, paddedSize, urgency } from './batching.js';
export type { Batch, BatchingEvent, BatchingState, BatchRow, Priority } from './batching.js';
