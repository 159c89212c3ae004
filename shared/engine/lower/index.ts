/** From a recorded graph to ONNX: axis orders, convolution strategies, stored orders of weights. */
export { programDigest } from './digest.js';
export { blockedConvSelfTest } from './convolution/blocked-self-test.js';
export type { BlockedConvOutcome, RunProgram } from './convolution/blocked-self-test.js';
export { kernelOfNode } from './operator-use.js';
export type { OperatorUse } from './operator-use.js';
export { gradientPrefix } from './gradients.js';
export { lower } from './lower.js';
export { loweringVersion, plainOptions } from './options.js';
export type { Capabilities, Formulations, LoweringOptions } from './options.js';
export { summarize } from './summary.js';
export type { LoweringSummary } from './summary.js';
export { fromStored, storedShape, toStored } from './weights.js';
