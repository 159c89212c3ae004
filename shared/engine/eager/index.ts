/** The definition's own function on a tfjs backend, op by op. */
export { TfjsEngine } from './tfjs-engine.js';
export { startWasm, wasmBackendName } from './io/wasm.js';
export { startTensorflow, tensorflowBackendName } from './io/tensorflow.js';
