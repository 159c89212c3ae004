/** Cold Diffusion: degradations, training loss, programs for the engine, samplers and metrics. */
export type { Degradation, DegradationDescription, ImageGeometry, PlaceAmong, Table, Tensors } from './degradation.js';
export { contextAt, truncateTo8Bits } from './degradation.js';
export type { NetworkSpace } from './colour-space.js';
export { labToRgb, rgbToLab } from './colour-space.js';
export { createDegradation, degradationFamilies } from './registry.js';
export type { LossInputs, Restoration, TrainRoutine } from './loss.js';
export { reconstructionLoss, restorationLoss, stepIndex, trainingLoss } from './loss.js';
export {
  algorithm2Program,
  estimatedNoiseProgram,
  contextInputs,
  degradationOf,
  degradationProgram,
  networkWeights,
  restorationProgram,
  tableInputs,
  trainingProgram,
} from './programs.js';
export type { TrainingImages } from './draws.js';
export { trainingInputs } from './draws.js';
export { drawFromMixture, fitMixture } from './prior/mixture.js';
export type { FittedMixture, Mixture } from './prior/mixture.js';
export { shrink, shrinkingRows } from './prior/shrunk.js';
export { drawFromPrior, drawStartNoise, generationStart, publishedStartNoise, usualPriorEdge } from './prior/start.js';
export type { GenerationStart } from './prior/start.js';
export type { SamplingAlgorithm, SamplingPlan, SamplingStep, SamplingUpdate } from './samplers/plan.js';
export {
  checkAlgorithm,
  planSampling,
  planSeverities,
  samplingAlgorithms,
  samplingStep,
  severitySequence,
} from './samplers/plan.js';
export type { SamplerCallbacks, SamplingTrace } from './samplers/run.js';
export { algorithm2Update, runSampler, traceSampler } from './samplers/run.js';
export { l1, meanSquaredError, psnr, rmse, toZeroOne } from './metrics/pixel-error.js';
export type { ImageBatchShape, SsimResult } from './metrics/ssim.js';
export { ssim } from './metrics/ssim.js';
