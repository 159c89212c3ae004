/** Running lowered programs: ONNX Runtime sessions in worker threads behind one queue. */
export { OnnxEngine, openPool, runOnce } from './onnx-engine.js';
export { profileProgram } from './io/profile.js';
export type { NodeCost, ProgramProfile } from './io/profile.js';
export { WorkerPool } from './io/pool.js';
export type { OnnxEngineOptions } from './onnx-engine.js';
