import { builtFile } from '@thaw/shared/runtime';
import { SharedPool, ThreadedEngine, WorkerPool } from '../run/index.js';
import type { ProgramPool, StartedPool } from '../run/index.js';
import type { EngineDescription } from '../types.js';
import { setTensorflowDefaults, tensorflowBackendName } from './io/tensorflow.js';
import { tapeProgram, type TapeProgram } from './tape-program.js';

/** What a worker of an eager engine is started with. */
export interface TfjsWorkerSettings {
  /** Name of the tfjs backend. */
  readonly backend: string;
  /** npm package that brings it. */
  readonly packageName: string;
}

/**
 * The addon of tfjs-node has one backend per process, which every thread that loads it would replace: one thread for all engines.
 * By the package's name.
 */
const tensorflowThreads = new Map<string, SharedPool<TapeProgram>>();

function tensorflowThread(settings: TfjsWorkerSettings): SharedPool<TapeProgram> {
  const known = tensorflowThreads.get(settings.packageName);
  if (known !== undefined) return known;
  setTensorflowDefaults();
  const made = new SharedPool(() => openPool(settings, 1));
  tensorflowThreads.set(settings.packageName, made);
  return made;
}

function openPool(settings: TfjsWorkerSettings, workers: number): WorkerPool<TapeProgram> {
  return new WorkerPool({ workers, workerFile: builtFile(import.meta.url, './io/worker.js'), settings });
}

/**
 * Threads that run programs kernel by kernel on a backend of tfjs, ready.
 * @throws THAW_ENGINE_WORKER_LOST with the reason as its cause
 */
export async function openTfjsPool(settings: TfjsWorkerSettings, workers: number): Promise<StartedPool<TapeProgram>> {
  if (settings.backend === tensorflowBackendName) return tensorflowThread(settings).share();
  const pool = openPool(settings, workers);
  try {
    return { pool, library: await pool.started() };
  } catch (error) {
    await pool.close();
    throw error;
  }
}

/**
 * The kernels that a program's own function and tfjs's gradients call, op by op on a tfjs backend in worker threads. The oracle of the lowered
 * engines, and what is left where ONNX Runtime does not run.
 * @param pool belongs to the engine, which closes it
 */
export const tfjsEngine = (
  description: EngineDescription,
  settings: TfjsWorkerSettings,
  pool: ProgramPool<TapeProgram>,
): ThreadedEngine<TapeProgram> =>
  new ThreadedEngine({
    description,
    pool,
    openPool: async () => (await openTfjsPool(settings, description.workers)).pool,
    compile: (definition, { recompute = 'none' }) => tapeProgram(definition, recompute),
  });
