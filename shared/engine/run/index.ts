/** Running lowered programs: ONNX Runtime sessions in worker threads behind one queue. */
export { OnnxEngine } from './onnx-engine.js';
export type { OnnxEngineOptions } from './onnx-engine.js';
