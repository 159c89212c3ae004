import { startTensorflow, startWasm, tensorflowBackendName, TfjsEngine, wasmBackendName } from '../eager/index.js';
import { cpuModel, hostDescription, nvidiaModel, packageVersion } from '../io/host.js';
import type { EngineAvailability, EngineDescription, EngineKind } from '../types.js';
import { reasonOf, unavailable, type EngineProvider, type OpenOptions } from './kind.js';

interface TfjsKind {
  readonly kind: EngineKind;
  readonly packageName: string;
  readonly backendName: string;
  readonly device: () => string;
  /** Starts the backend and names the library under it, if that is not the package itself; throws with the reason when it cannot. */
  readonly start: () => Promise<string | undefined>;
}

const tfjsKinds: readonly TfjsKind[] = [
  tfjsNode('tfjs-node-gpu', true),
  tfjsNode('tfjs-node', false),
  {
    kind: 'tfjs-wasm',
    packageName: '@tensorflow/tfjs-backend-wasm',
    backendName: wasmBackendName,
    device: cpuModel,
    start: async () => {
      await startWasm();
      return undefined;
    },
  },
];

export const tfjsProviders: readonly EngineProvider[] = tfjsKinds.map((kind) => ({
  kind: kind.kind,
  check: async () => (await tryOut(kind)).availability,
  open: (options) => open(kind, options),
}));

/** libtensorflow under tfjs: an optional package, since its installer downloads the library. */
function tfjsNode(kind: 'tfjs-node' | 'tfjs-node-gpu', gpu: boolean): TfjsKind {
  const packageName = `@tensorflow/${kind}`;
  return {
    kind,
    packageName,
    backendName: tensorflowBackendName,
    device: () => (gpu ? (nvidiaModel() ?? 'unknown CUDA device') : cpuModel()),
    start: async () => {
      const { version, usesGpu } = await startTensorflow(packageName);
      if (gpu && !usesGpu) throw new Error('TensorFlow found no GPU');
      return `TensorFlow ${version}`;
    },
  };
}

interface Trial {
  readonly availability: EngineAvailability;
  /** What computes: the library under the backend, or the backend. */
  readonly provider: string;
}

async function tryOut(tfjs: TfjsKind): Promise<Trial> {
  const { kind, packageName, backendName } = tfjs;
  const version = packageVersion(packageName);
  const answer = (available: boolean, reason: string, provider = backendName): Trial => ({
    availability: { kind, available, reason, ...(version !== undefined && { package: `${packageName}@${version}` }) },
    provider,
  });
  if (version === undefined) return answer(false, `the package ${packageName} is not installed.`);
  try {
    const library = await tfjs.start();
    const parts = [`${packageName} ${version}`, ...(library === undefined ? [] : [library])];
    return answer(true, `${parts.join(' with ')} on ${tfjs.device()}.`, library);
  } catch (error) {
    return answer(false, `${packageName} ${version} does not start: ${reasonOf(error)}`);
  }
}

async function open(tfjs: TfjsKind, { workers, reason }: OpenOptions): Promise<TfjsEngine> {
  if (workers !== 1)
    throw unavailable(tfjs.kind, `it computes in the calling thread: it has one worker, not ${workers}.`);
  const { availability, provider } = await tryOut(tfjs);
  if (!availability.available) throw unavailable(tfjs.kind, availability.reason);
  const description: EngineDescription = {
    kind: tfjs.kind,
    package: availability.package!,
    provider,
    device: tfjs.device(),
    ...hostDescription(),
    loweringVersion: 0,
    blockedConv: { blockSize: false, reason: 'eager engines lower no graph' },
    workers,
    reason,
  };
  return new TfjsEngine(description, tfjs.backendName);
}
