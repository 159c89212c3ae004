/** Frechet distance of feature vectors that come one after the other. */
export { featureStatistics, FeatureMoments } from './moments.js';
export type { FeatureStatistics } from './moments.js';
export { distanceOfSides, frechetDistance, frechetSide } from './distance.js';
export type { FrechetSide } from './distance.js';
export { parseNpy } from './npy.js';
export { decodeStatistics, encodeStatistics, statisticsFrom } from './statistics-file.js';
export type { StoredStatistics } from './statistics-file.js';
