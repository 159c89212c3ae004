/** Frechet distance of feature vectors that come one after the other. */
export { featureStatistics, FeatureMoments } from './moments.js';
export type { FeatureStatistics } from './moments.js';
export { distanceOfSides, frechetDistance, frechetSide } from './distance.js';
export type { FrechetSide } from './distance.js';
