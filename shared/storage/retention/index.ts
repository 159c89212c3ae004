/** What is kept, and the removal of the rest. */
export { chooseRetained } from './policy.js';
export type { RetainableCheckpoint, RetentionChoice, RetentionPolicy } from './policy.js';
export { collectGarbage } from './collect.js';
export type { CollectOptions, CollectReport } from './collect.js';
