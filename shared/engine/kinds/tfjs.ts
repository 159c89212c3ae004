import util from 'node:util';
import * as tf from '@tensorflow/tfjs-core';
import { startWasm, TfjsEngine, wasmBackendName } from '../eager/index.js';
import { cpuModel, hostDescription, nvidiaModel, packageVersion } from '../io/host.js';
import type { EngineAvailability, EngineDescription, EngineKind } from '../types.js';
import { reasonOf, unavailable, type EngineProvider, type OpenOptions } from './kind.js';

interface TfjsKind {
  readonly kind: EngineKind;
  readonly packageName: string;
  readonly backendName: string;
  readonly device: () => string;
  /** Starts the backend; throws with the reason when it cannot. */
  readonly start: () => Promise<void>;
}

const tfjsKinds: readonly TfjsKind[] = [
  tfjsNode('tfjs-node-gpu', true),
  tfjsNode('tfjs-node', false),
  {
    kind: 'tfjs-wasm',
    packageName: '@tensorflow/tfjs-backend-wasm',
    backendName: wasmBackendName,
    device: cpuModel,
    start: startWasm,
  },
];

export const tfjsProviders: readonly EngineProvider[] = tfjsKinds.map((kind) => ({
  kind: kind.kind,
  check: () => check(kind),
  open: (options) => open(kind, options),
}));

/** libtensorflow under tfjs: an optional package, since its installer downloads the library. */
function tfjsNode(kind: 'tfjs-node' | 'tfjs-node-gpu', gpu: boolean): TfjsKind {
  const packageName = `@tensorflow/${kind}`;
  return {
    kind,
    packageName,
    backendName: 'tensorflow',
    device: () => (gpu ? (nvidiaModel() ?? 'unknown CUDA device') : cpuModel()),
    start: async () => {
      restoreRemovedUtilities();
      const previous = tf.getBackend();
      await import(packageName);
      const backend = tf.findBackend('tensorflow') as (tf.KernelBackend & { isUsingGpuDevice?: boolean }) | null;
      if (backend === null) throw new Error('the package does not register its backend in this copy of tfjs-core');
      if (gpu && backend.isUsingGpuDevice !== true) throw new Error('TensorFlow found no GPU');
      if (previous !== undefined) await tf.setBackend(previous);
    },
  };
}

/** tfjs-node 4.22 calls functions that Node 23 took out of `util`. */
function restoreRemovedUtilities(): void {
  const target = util as unknown as Record<string, unknown>;
  target['isNullOrUndefined'] ??= (value: unknown) => value === null || value === undefined;
  target['isArray'] ??= Array.isArray;
}

async function check(tfjs: TfjsKind): Promise<EngineAvailability> {
  const version = packageVersion(tfjs.packageName);
  const answer = (available: boolean, reason: string): EngineAvailability => ({
    kind: tfjs.kind,
    available,
    reason,
    ...(version !== undefined && { package: `${tfjs.packageName}@${version}` }),
  });
  if (version === undefined) return answer(false, `the package ${tfjs.packageName} is not installed.`);
  try {
    await tfjs.start();
  } catch (error) {
    return answer(false, `${tfjs.packageName} ${version} does not start: ${reasonOf(error)}`);
  }
  return answer(true, `${tfjs.packageName} ${version} on ${tfjs.device()}.`);
}

async function open(tfjs: TfjsKind, { workers, reason }: OpenOptions): Promise<TfjsEngine> {
  if (workers !== 1)
    throw unavailable(tfjs.kind, `it computes in the calling thread: it has one worker, not ${workers}.`);
  const availability = await check(tfjs);
  if (!availability.available) throw unavailable(tfjs.kind, availability.reason);
  const description: EngineDescription = {
    kind: tfjs.kind,
    package: availability.package!,
    provider: tfjs.backendName,
    device: tfjs.device(),
    ...hostDescription(),
    loweringVersion: 0,
    blockedConv: { blockSize: false, reason: 'eager engines lower no graph' },
    workers,
    reason,
  };
  return new TfjsEngine(description, tfjs.backendName);
}
