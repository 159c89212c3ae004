import { cpuModel, hostDescription, nvidiaModel, packageVersion } from '../io/host.js';
import { lower, loweringVersion } from '../lower/index.js';
import type { LoweringOptions } from '../lower/index.js';
import { OnnxEngine } from '../run/index.js';
import { trace } from '../trace/index.js';
import type { EngineAvailability, EngineKind, ProgramDefinition } from '../types.js';
import * as tf from '@tensorflow/tfjs-core';
import { reasonOf, unavailable, type EngineProvider, type OpenOptions } from './kind.js';

const packageName = 'onnxruntime-node';
/** Results are promised bit by bit for this version alone; `package.json` pins it. */
const pinnedVersion = '1.30.0';

interface OnnxKind {
  readonly kind: EngineKind;
  /** Execution provider of ONNX Runtime. */
  readonly provider: string;
  readonly lowering: LoweringOptions;
  readonly device: () => string;
}

const onnxKinds: readonly OnnxKind[] = [
  { kind: 'onnx-cpu', provider: 'cpu', lowering: {}, device: cpuModel },
  {
    kind: 'onnx-cuda',
    provider: 'cuda',
    lowering: { capabilities: { microsoftOps: false, blockedConv: false } },
    device: () => nvidiaModel() ?? 'unknown CUDA device',
  },
  {
    kind: 'onnx-webgpu',
    provider: 'webgpu',
    lowering: { capabilities: { microsoftOps: false, blockedConv: false } },
    device: () => nvidiaModel() ?? 'default WebGPU adapter',
  },
];

export const onnxProviders: readonly EngineProvider[] = onnxKinds.map(provider);

function provider(onnx: OnnxKind): EngineProvider {
  return { kind: onnx.kind, check: () => check(onnx), open: (options) => openChecked(onnx, options) };
}

async function openChecked(onnx: OnnxKind, options: OpenOptions): Promise<OnnxEngine> {
  const availability = await check(onnx);
  if (!availability.available) throw unavailable(onnx.kind, availability.reason);
  return open(onnx, options);
}

function open(onnx: OnnxKind, { workers, reason }: OpenOptions): OnnxEngine {
  const description = {
    kind: onnx.kind,
    package: `${packageName}@${packageVersion(packageName) ?? 'unknown'}`,
    provider: onnx.provider,
    device: onnx.device(),
    ...hostDescription(),
    loweringVersion,
    workers,
    reason,
  };
  const compile = (definition: ProgramDefinition) => lower(trace(definition), onnx.lowering);
  return new OnnxEngine({ description, provider: onnx.provider, compile });
}

/** Tries it: a session of a tiny program on the provider, and the right result. */
async function check(onnx: OnnxKind): Promise<EngineAvailability> {
  const version = packageVersion(packageName);
  const answer = (available: boolean, reason: string): EngineAvailability => ({
    kind: onnx.kind,
    available,
    reason,
    ...(version !== undefined && { package: `${packageName}@${version}` }),
  });
  if (version === undefined) return answer(false, `the package ${packageName} is not installed.`);
  if (version !== pinnedVersion)
    return answer(false, `${packageName} is version ${version}, but ${pinnedVersion} is required.`);
  let supported: readonly { name: string; bundled: boolean }[];
  try {
    supported = (await import('onnxruntime-node')).listSupportedBackends();
  } catch (error) {
    return answer(false, `${packageName} does not load on this machine: ${reasonOf(error)}`);
  }
  const entry = supported.find((backend) => backend.name === onnx.provider);
  if (entry === undefined) return answer(false, `${packageName} ${version} has no ${onnx.provider} provider for this platform.`);
  try {
    await tryOut(onnx);
  } catch (error) {
    const missing = entry.bundled ? '' : ' (its libraries are not part of the npm package: see docs/gpu.md)';
    return answer(false, `the ${onnx.provider} provider does not start${missing}: ${reasonOf(error)}`);
  }
  return answer(true, `${packageName} ${version} on ${onnx.device()}.`);
}

const doubling: ProgramDefinition = {
  name: 'doubling',
  weights: {},
  inputs: { x: { shape: [4], dtype: 'float32' } },
  fn: (_, { x }) => ({ y: tf.add(x!, x!) }),
};

async function tryOut(onnx: OnnxKind): Promise<void> {
  const engine = open(onnx, { workers: 1, reason: 'trial' });
  try {
    const compiled = await engine.load(doubling);
    const { y } = await compiled.run({ weights: {}, inputs: { x: Float32Array.of(1, 2, 3, 4) } });
    if (String(y) !== '2,4,6,8') throw new Error(`it computed 1+1, 2+2, 3+3, 4+4 as ${String(y)}`);
  } finally {
    await engine.close();
  }
}
