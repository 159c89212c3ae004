import { openTfjsPool, tensorflowBackendName, tfjsEngine, wasmBackendName } from '../eager/index.js';
import { cpuModel, hostDescription, nvidiaModel, packageVersion } from '../io/host.js';
import type { Engine, EngineAvailability, EngineDescription, EngineKind } from '../types.js';
import { reasonOf, unavailable, type EngineProvider, type OpenOptions } from './kind.js';

interface TfjsKind {
  readonly kind: EngineKind;
  readonly packageName: string;
  readonly backend: string;
  readonly device: () => string;
}

const tfjsKinds: readonly TfjsKind[] = [
  tfjsNode('tfjs-node-gpu', () => nvidiaModel() ?? 'unknown CUDA device'),
  tfjsNode('tfjs-node', cpuModel),
  { kind: 'tfjs-wasm', packageName: '@tensorflow/tfjs-backend-wasm', backend: wasmBackendName, device: cpuModel },
];

export const tfjsProviders: readonly EngineProvider[] = tfjsKinds.map((kind) => ({
  kind: kind.kind,
  check: () => check(kind),
  open: (options) => open(kind, options),
}));

/** libtensorflow under tfjs: an optional package, since its installer downloads the library. */
function tfjsNode(kind: 'tfjs-node' | 'tfjs-node-gpu', device: () => string): TfjsKind {
  return { kind, packageName: `@tensorflow/${kind}`, backend: tensorflowBackendName, device };
}

async function check(tfjs: TfjsKind): Promise<EngineAvailability> {
  const { kind, packageName } = tfjs;
  const version = packageVersion(packageName);
  const answer = (available: boolean, reason: string): EngineAvailability => ({
    kind,
    available,
    reason,
    ...(version !== undefined && { package: `${packageName}@${version}` }),
  });
  try {
    const engine = await open(tfjs, { workers: 1, reason: 'trial' });
    await engine.close();
    const { provider, device } = engine.describe();
    const library = provider === tfjs.backend ? '' : ` with ${provider}`;
    return answer(true, `${packageName} ${version}${library} on ${device}.`);
  } catch (error) {
    return answer(false, reasonOf(error));
  }
}

async function open(tfjs: TfjsKind, { workers, reason }: OpenOptions): Promise<Engine> {
  const { kind, packageName, backend } = tfjs;
  const version = packageVersion(packageName);
  if (version === undefined) throw unavailable(kind, `the package ${packageName} is not installed.`);
  if (backend === tensorflowBackendName && workers !== 1)
    throw unavailable(kind, `TensorFlow is one per process: it has one worker, not ${workers}.`);
  const settings = { backend, packageName };
  const { pool, library } = await openTfjsPool(settings, workers).catch((error: Error) => {
    throw unavailable(kind, `${packageName} ${version} does not start: ${reasonOf(error.cause ?? error)}`);
  });
  const description: EngineDescription = {
    kind,
    package: `${packageName}@${version}`,
    // What computes: the library under the backend, or the backend.
    provider: library ?? backend,
    device: tfjs.device(),
    ...hostDescription(),
    loweringVersion: 0,
    blockedConv: { blockSize: false, reason: 'eager engines lower no graph' },
    workers,
    reason,
  };
  return tfjsEngine(description, settings, pool);
}
