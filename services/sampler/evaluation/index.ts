/** Evaluation: how good a checkpoint is, on images it has not seen. */
export { Evaluator, evaluationKey, evaluationPictureKey } from './evaluator.js';
export type { EvaluatorOptions } from './evaluator.js';
export { contactSheet } from './grid.js';
export { reportCheckpoint } from './checkpoint-report.js';
export type { ReportRequest } from './checkpoint-report.js';
export { parseMetrics, reportMarkdown, reportMetrics } from './report.js';
export type { EvaluationReport, ReportMetric } from './report.js';
export { ScoreBoard } from './score.js';
export type { ScoredImage, Scores } from './score.js';
