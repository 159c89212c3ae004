/**
 * Plain tfjs in, native speed out: a function of tensors is traced once, lowered to ONNX and run by ONNX Runtime in worker
 * threads; or run op by op on a tfjs backend, behind the same interface.
 */
export * from './types.js';
export { gradientName } from './program/index.js';
export { supportedKernels, trace } from './trace/index.js';
export type { SupportedKernel } from './trace/index.js';
export { fromStored, lower, loweringVersion, plainOptions, summarize, toStored } from './lower/index.js';
export type { Capabilities, Formulations, LoweringOptions, LoweringSummary } from './lower/index.js';
export { kernelsTable } from './kernels-table.js';
export { simplify, toDot } from './graph/index.js';
export { OnnxEngine, profileProgram } from './run/index.js';
export type { NodeCost, ProgramProfile } from './run/index.js';
export { startWasm, wasmBackendName } from './eager/index.js';
export { autoKinds, doctor, openEngine } from './open.js';
export { notDocumentedForCuda } from './kinds/cuda-operators.js';
export type { EngineOptions } from './open.js';
export { engineFields, fingerprintOf, probeCall, probeFingerprint } from './fingerprint.js';
export type { Fingerprint, ProbedProgram } from './fingerprint.js';
