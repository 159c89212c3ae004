/** Evaluation: how good estimates of held-out images are, wherever they were computed. */
export type { Estimate, EstimateOrigin, EstimateSource, StateError } from './estimates.js';
export { meanSquare } from './estimates.js';
export { hasSsim, imageErrors } from './image-errors.js';
export {
  conventionNames,
  degradedChoices,
  officialConvention,
  plainConvention,
  sampledChoices,
} from './conventions.js';
export type { Convention, ConventionName } from './conventions.js';
export { asksForFrechet, parseMetrics, pixelMetrics, reportRows } from './metrics.js';
export type { Metric, PixelMetric, ReportRow } from './metrics.js';
export { evaluate } from './evaluate.js';
export type { Evaluation, EvaluationRequest } from './evaluate.js';
export type { EvaluationReport, PicturedImage, ReportedFeatures } from './report.js';
export { reportMarkdown } from './markdown.js';
export { reportPage } from './page/index.js';
export * from './features/index.js';
export {
  decodeStatistics,
  encodeStatistics,
  featureStatistics,
  FeatureMoments,
  frechetDistance,
  parseNpy,
  statisticsFrom,
} from './frechet/index.js';
export type { FeatureStatistics, StoredStatistics } from './frechet/index.js';
