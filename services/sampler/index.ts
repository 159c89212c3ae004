/** The sampler: configuration and the words that the command line and tests share with it. */
export { SamplerConfigSchema } from './config.js';
export type { SamplerConfig } from './config.js';
export { JobRequestSchema, JobStatusSchema } from './jobs/index.js';
export type { JobRequest, JobStatus } from './jobs/index.js';
export { decodeEstimate, evaluationKey, evaluationPictureKey, localEstimates } from './evaluation/index.js';
export type { EstimatesRequest } from './evaluation/index.js';
export type { ClusterOutlook } from './service/index.js';
export { CheckpointModels, datasetImages } from './models/index.js';
