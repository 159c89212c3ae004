/** Work: the rows that this sampler computes. */
export { asThawError, RowWorker, versionKey } from './row-worker.js';
export type { CallReport, RowTask, RowWorkerOptions } from './row-worker.js';
