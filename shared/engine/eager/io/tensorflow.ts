import { constants } from 'node:os';
import util from 'node:util';
import * as tf from '@tensorflow/tfjs-core';

/** Under this name both tfjs-node and tfjs-node-gpu register. */
export const tensorflowBackendName = 'tensorflow';

export interface StartedTensorflow {
  /** Version of the TensorFlow library under the package: the package's version does not decide it (docs/gpu.md). */
  readonly version: string;
  readonly usesGpu: boolean;
}

interface TensorflowBackend extends tf.KernelBackend {
  readonly isUsingGpuDevice?: boolean;
  readonly binding?: { readonly TF_Version?: string };
}

/**
 * What TensorFlow reads from the environment when it is loaded, to be called in the main thread, since another thread's environment is a copy.
 * Operations compute in one thread unless TF_NUM_INTRAOP_THREADS says otherwise: TensorFlow splits sums by the number of threads, so that
 * another number gives other bits. Its notices would go among the lines of a service's log.
 */
export function setTensorflowDefaults(): void {
  for (const [name, value] of [
    ['TF_NUM_INTRAOP_THREADS', '1'],
    ['TF_NUM_INTEROP_THREADS', '1'],
    ['TF_CPP_MIN_LOG_LEVEL', '2'],
  ] as const)
    process.env[name] ??= value;
}

/**
 * Starts the backend of an installed tfjs-node package; the global backend stays what it was. {@link setTensorflowDefaults} comes first.
 * Throws with the reason when the package does not load.
 */
export async function startTensorflow(packageName: string): Promise<StartedTensorflow> {
  restoreRemovedUtilities();
  const previous = tf.getBackend();
  keepAddons();
  await import(packageName);
  const backend = tf.findBackend(tensorflowBackendName) as TensorflowBackend | null;
  if (backend === null) throw new Error('the package does not register its backend in this copy of tfjs-core');
  if (previous !== undefined) await tf.setBackend(previous);
  return { version: backend.binding?.TF_Version ?? 'unknown', usesGpu: backend.isUsingGpuDevice === true };
}

/** RTLD_NODELETE, which Node does not name. */
const neverUnloaded = process.platform === 'darwin' ? 0x80 : 0x1000;

/** A thread that ends unloads the addons that it loaded; threads of TensorFlow's own run on, in code that would be gone. */
function keepAddons(): void {
  const open = process.dlopen;
  process.dlopen = (module: object, file: string, flags: number = constants.dlopen.RTLD_LAZY) =>
    open.call(process, module, file, flags | neverUnloaded);
}

/** tfjs-node 4.22 calls functions that Node 23 took out of `util`. */
function restoreRemovedUtilities(): void {
  const target = util as unknown as Record<string, unknown>;
  target['isNullOrUndefined'] ??= (value: unknown) => value === null || value === undefined;
  target['isArray'] ??= Array.isArray;
}
