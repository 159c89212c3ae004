/** The sampler's service: jobs from acceptance to result, and the version that is served. */
export { JobService } from './job-service.js';
export type { JobServiceOptions } from './job-service.js';
export { clusterOutlook, OutlookRequestSchema, parseOutlookRequest } from './estimates-outlook.js';
export type { ClusterOutlook, OutlookRequest } from './estimates-outlook.js';
export { FrameReader } from './frame-reader.js';
export type { Frame } from './frame-reader.js';
export { PlayService } from './play-service.js';
export { JobStore } from './job-store.js';
export type { Images } from './job-store.js';
export { VersionFollower } from './version-follower.js';
export type { VersionFollowerOptions } from './version-follower.js';
