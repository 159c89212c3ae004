import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
import { registerWasmKernels } from '../kernels/index.js';

export const wasmBackendName = 'wasm';
const packageName = '@tensorflow/tfjs-backend-wasm';

let started: Promise<void> | undefined;

/**
 * Starts tfjs's wasm backend, once in a process: one thread, SIMD on (both fixed, so that bits do not depend on what
 * tfjs detects), its file taken from the installed package.
 */
export function startWasm(): Promise<void> {
  started ??= start();
  return started;
}

async function start(): Promise<void> {
  tf.env().set('WASM_HAS_MULTITHREAD_SUPPORT', false);
  tf.env().set('WASM_HAS_SIMD_SUPPORT', true);
  setWasmPaths(join(dirname(createRequire(import.meta.url).resolve(packageName)), '/'));
  const previous = tf.getBackend();
  if (!(await tf.setBackend(wasmBackendName))) throw new Error('tfjs could not start its wasm backend');
  registerWasmKernels(wasmBackendName);
  if (previous !== undefined && previous !== wasmBackendName) await tf.setBackend(previous);
}
