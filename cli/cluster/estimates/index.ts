/** Estimates by the samplers of a running cluster. */
export { clusterEstimates } from './cluster-estimates.js';
export type { ClusterEstimates, ClusterEstimatesParts } from './cluster-estimates.js';
export { estimateDoor } from './door.js';
export type { EstimateDoor, OutlookQuery } from './door.js';
