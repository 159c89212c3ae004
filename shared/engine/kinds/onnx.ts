import * as tf from '@tensorflow/tfjs-core';
import { cudaLibraryProblem } from '../io/cuda-libraries.js';
import { cpuModel, hostDescription, nvidiaModel, packageVersion } from '../io/host.js';
import { blockedConvSelfTest, lower, loweringVersion } from '../lower/index.js';
import type { BlockedConvOutcome, Capabilities, LoweringOptions, OperatorUse } from '../lower/index.js';
import { OnnxEngine, openPool, runOnce } from '../run/index.js';
import type { WorkerPool } from '../run/index.js';
import { trace } from '../trace/index.js';
import type { EngineAvailability, EngineDescription, EngineKind, ProgramDefinition } from '../types.js';
import { notDocumentedForCuda } from './cuda-operators.js';
import { reasonOf, unavailable, type EngineProvider, type OpenOptions } from './kind.js';

const packageName = 'onnxruntime-node';
/** Results are promised bit by bit for this version alone; `package.json` pins it. */
const pinnedVersion = '1.30.0';

interface OnnxKind {
  readonly kind: EngineKind;
  /** Execution provider of ONNX Runtime. */
  readonly provider: string;
  readonly capabilities: Pick<Capabilities, 'microsoftOps'>;
  /** Why the provider does not compute an operator, where its documentation tells. */
  readonly missing?: (use: OperatorUse) => string | undefined;
  readonly device: () => string;
}

const onnxKinds: readonly OnnxKind[] = [
  { kind: 'onnx-cpu', provider: 'cpu', capabilities: { microsoftOps: true }, device: cpuModel },
  {
    kind: 'onnx-cuda',
    provider: 'cuda',
    capabilities: { microsoftOps: false },
    missing: notDocumentedForCuda,
    device: () => nvidiaModel() ?? 'unknown CUDA device',
  },
  {
    kind: 'onnx-webgpu',
    provider: 'webgpu',
    capabilities: { microsoftOps: false },
    device: () => nvidiaModel() ?? 'default WebGPU adapter',
  },
];

export const onnxProviders: readonly EngineProvider[] = onnxKinds.map(provider);

function provider(onnx: OnnxKind): EngineProvider {
  return { kind: onnx.kind, check: () => check(onnx), open: (options) => openTried(onnx, options) };
}

/** Opens it and tries it out before anybody uses it. */
async function openTried(onnx: OnnxKind, { workers, reason }: OpenOptions): Promise<OnnxEngine> {
  const missing = await missingPart(onnx);
  if (missing !== undefined) throw unavailable(onnx.kind, missing);
  const pool = openPool(onnx.provider, workers);
  try {
    await tryOut(onnx, pool);
    const blockedConv = await findBlocks(onnx, pool);
    const description: EngineDescription = {
      kind: onnx.kind,
      package: `${packageName}@${pinnedVersion}`,
      provider: onnx.provider,
      device: onnx.device(),
      ...hostDescription(),
      loweringVersion,
      blockedConv,
      workers,
      reason,
    };
    const lowering: LoweringOptions = {
      capabilities: { ...onnx.capabilities, blockedConv: blockedConv.blockSize },
      ...(onnx.missing !== undefined && { missing: onnx.missing }),
    };
    return new OnnxEngine({
      description,
      pool,
      compile: (definition, options) => lower(trace(definition), { ...lowering, ...options }),
    });
  } catch (error) {
    await pool.close();
    throw unavailable(onnx.kind, notStarting(onnx, error));
  }
}

/** Blocked convolutions exist in the CPU provider alone; there they are used if they are right on this processor. */
async function findBlocks(onnx: OnnxKind, pool: WorkerPool): Promise<BlockedConvOutcome> {
  if (onnx.provider !== 'cpu') return { blockSize: false, reason: `the ${onnx.provider} provider has none` };
  return blockedConvSelfTest((program, inputs) => runOnce(pool, program, inputs));
}

async function check(onnx: OnnxKind): Promise<EngineAvailability> {
  const version = packageVersion(packageName);
  const answer = (available: boolean, reason: string): EngineAvailability => ({
    kind: onnx.kind,
    available,
    reason,
    ...(version !== undefined && { package: `${packageName}@${version}` }),
  });
  try {
    const engine = await openTried(onnx, { workers: 1, reason: 'trial' });
    await engine.close();
    return answer(true, `${packageName} ${version} on ${onnx.device()}.`);
  } catch (error) {
    return answer(false, reasonOf(error));
  }
}

/** What can be said without starting anything. */
async function missingPart(onnx: OnnxKind): Promise<string | undefined> {
  const version = packageVersion(packageName);
  if (version === undefined) return `the package ${packageName} is not installed.`;
  if (version !== pinnedVersion) return `${packageName} is version ${version}, but ${pinnedVersion} is required.`;
  try {
    const { listSupportedBackends } = await import('onnxruntime-node');
    if (listSupportedBackends().some((backend) => backend.name === onnx.provider)) return undefined;
    return `${packageName} ${version} has no ${onnx.provider} provider for this platform.`;
  } catch (error) {
    return `${packageName} does not load on this machine: ${reasonOf(error)}`;
  }
}

function notStarting(onnx: OnnxKind, error: unknown): string {
  const library = onnx.provider === 'cuda' ? cudaLibraryProblem() : undefined;
  const adapter = /No supported adapters|Failed to get a WebGPU adapter/.test(String(error))
    ? 'no WebGPU adapter was found: it needs a GPU or a software Vulkan driver'
    : undefined;
  const known = library ?? adapter;
  const problem = known === undefined ? reasonOf(error) : `${known}; see docs/gpu.md`;
  return `the ${onnx.provider} provider does not start: ${problem}`;
}

const doubling: ProgramDefinition = {
  name: 'doubling',
  weights: {},
  inputs: { x: { shape: [4], dtype: 'float32' } },
  fn: (_, { x }) => ({ y: tf.add(x!, x!) }),
};

/** A session of a tiny program, and the right result. */
async function tryOut({ capabilities }: OnnxKind, pool: WorkerPool): Promise<void> {
  const { y } = await runOnce(pool, lower(trace(doubling), { capabilities }), { x: Float32Array.of(1, 2, 3, 4) });
  if (String(y) !== '2,4,6,8') throw new Error(`it computed 1+1, 2+2, 3+3, 4+4 as ${String(y)}`);
}
