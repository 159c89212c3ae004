/** Running programs: worker threads behind one queue, and what ONNX Runtime's sessions need in them. */
export { OnnxEngine, openPool, runOnce } from './onnx-engine.js';
export type { OnnxEngineOptions } from './onnx-engine.js';
export { ThreadedEngine } from './threaded-engine.js';
export { SharedPool } from './pool-share.js';
export type { ProgramPool, StartedPool } from './pool-share.js';
export type { FixedWeight, ThreadProgram, WorkerFailure, WorkerReply, WorkerRequest } from './messages.js';
export { profileProgram } from './io/profile.js';
export type { NodeCost, ProgramProfile } from './io/profile.js';
export { WorkerPool } from './io/pool.js';
