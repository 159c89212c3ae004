/** What is kept, and the removal of the rest. */
export { chooseRetained } from './policy.js';
export type { RetainableCheckpoint, RetentionChoice, RetentionPolicy } from './policy.js';
export { collectGarbage } from './collect.js';
export type { CollectOptions, CollectReport } from './collect.js';
export {
  checkpointsOfOpenJobs,
  collectJobs,
  jobPrefix,
  jobSpecKey,
  openJobId,
  openJobKey,
  openJobsPrefix,
} from './jobs.js';
export type { CollectJobsOptions, CollectJobsReport } from './jobs.js';
