/** Programs op by op on a tfjs backend. */
export { openTfjsPool, tfjsEngine } from './tfjs-engine.js';
export type { TfjsWorkerSettings } from './tfjs-engine.js';
export { startWasm, wasmBackendName } from './io/wasm.js';
export { tensorflowBackendName } from './io/tensorflow.js';
