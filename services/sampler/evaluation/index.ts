/** Evaluation: how good a checkpoint is, on images it has not seen. */
export { Evaluator, evaluationKey, evaluationPictureKey } from './evaluator.js';
export type { EvaluatorOptions } from './evaluator.js';
export { contactSheet } from './grid.js';
export { estimateBlock } from './estimate-block.js';
export { decodeEstimate, encodeEstimate } from './estimate-file.js';
export { EstimateRecorder } from './estimate-recorder.js';
export { estimatesOutlook, localEstimates } from './local-estimates.js';
export type { EstimatesOutlook, EstimatesRequest } from './local-estimates.js';
export { ScoreBoard } from './score.js';
export type { ScoredImage, Scores } from './score.js';
