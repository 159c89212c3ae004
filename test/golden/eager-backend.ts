/** tfjs on WebAssembly with Thaw's gradient kernels: the eager backend that golden tests compute on. */
import '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs-core';
import { startWasm, wasmBackendName } from '../../shared/engine/eager/index.js';

export async function openEagerBackend(): Promise<void> {
  await startWasm();
  if (!(await tf.setBackend(wasmBackendName))) throw new Error('the wasm backend did not start');
}
