/** Runs in the object store: the immutable configuration, and how far the run shall go. */
export { createRun, differences, loadRun, runKey, setTargetSteps, targetKey } from './runs.js';
export type { StoredRun } from './runs.js';
