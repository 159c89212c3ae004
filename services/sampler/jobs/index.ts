/** Jobs: what clients ask for, what that becomes, where it is kept, what they are told. */
export { JobRequestSchema, parseChannel, parseJobRequest } from './request.js';
export type { JobRequest } from './request.js';
export { blockSpec, evaluatedSeverities, isBlock, mostWaitMs, otherBits } from './block.js';
export type { BlockAcceptance } from './block.js';
export { dueByMs, jobSpec, testIndices, usualPatienceMs } from './spec.js';
export type { Acceptance } from './spec.js';
export { jobKeys, openJobId, parseJobId, stateSeverity } from './keys.js';
export { frameCount, frameName, maxFramesPerRow, savedEvery, savedSeverities } from './frames.js';
export type { FrameName } from './frames.js';
export { JobEndSchema, jobStatus, JobStatusSchema, KeeperSchema, missingImage } from './status.js';
export type { JobEnd, JobStatus } from './status.js';
