/** tfjs on WebAssembly: the eager backend that golden tests compute on. */
import '@tensorflow/tfjs';
import '@tensorflow/tfjs-backend-wasm';
import * as tf from '@tensorflow/tfjs-core';

export async function openEagerBackend(): Promise<void> {
  await tf.setBackend('wasm');
  await tf.ready();
}
