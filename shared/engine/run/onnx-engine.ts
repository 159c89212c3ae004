import { builtFile } from '@thaw/shared/runtime';
import type { Compiled, EngineDescription, LoadOptions, Program, ProgramDefinition, TensorData } from '../types.js';
import { outputsByName } from './compiled-program.js';
import { WorkerPool } from './io/pool.js';
import { ThreadedEngine } from './threaded-engine.js';
import { verifyProgram } from './verify.js';

/** What a worker of an onnx engine is started with. */
export interface OnnxWorkerSettings {
  /** ONNX Runtime execution provider: 'cpu', 'cuda', 'webgpu'. */
  readonly provider: string;
}

/** Threads that run programs on an execution provider of ONNX Runtime. */
export function openPool(provider: string, workers: number): WorkerPool {
  const settings: OnnxWorkerSettings = { provider };
  return new WorkerPool({ workers, workerFile: builtFile(import.meta.url, './io/worker.js'), settings });
}

/** Loads a program without weights, runs it once, and unloads it. */
export async function runOnce(
  pool: WorkerPool,
  program: Program,
  inputs: Readonly<Record<string, TensorData>>,
): Promise<Record<string, TensorData>> {
  await pool.load(program);
  try {
    return outputsByName(
      program,
      await pool.run({ program, weights: [], inputs: program.inputs.map(({ name }) => inputs[name]!) }),
    );
  } finally {
    pool.unload(program.digest);
  }
}

export interface OnnxEngineOptions {
  readonly description: EngineDescription;
  /** Belongs to the engine, which closes it. */
  readonly pool: WorkerPool;
  /** Definition -> lowered program, for the provider of the pool; `fixedWeights`: to be completed by its weights. */
  readonly compile: (
    definition: ProgramDefinition,
    options: LoadOptions & { readonly fixedWeights: boolean },
  ) => Program;
}

/** Programs on ONNX Runtime. */
export class OnnxEngine extends ThreadedEngine<Program> {
  constructor(options: OnnxEngineOptions) {
    const { provider, workers } = options.description;
    super({ ...options, openPool: () => openPool(provider, workers) });
  }

  /**
   * Loads a program that was lowered before, perhaps by another process or on another machine.
   * Errors: THAW_ENGINE_PROGRAM_CORRUPT when it is not what its digest says, or was lowered for what this engine is not.
   */
  async loadProgram(program: Program): Promise<Compiled> {
    verifyProgram(program, this.describe());
    return this.hold(program);
  }
}
