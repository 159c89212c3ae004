import { builtFile } from '@thaw/shared/runtime';
import { ThawError } from '@thaw/shared/protocol';
import { checkCall, checkFixedWeights } from '../program/index.js';
import { verifyProgram } from './verify.js';
import type {
  Compiled,
  Engine,
  EngineCall,
  EngineDescription,
  FixedPrograms,
  LoadOptions,
  Program,
  ProgramDefinition,
  TensorData,
} from '../types.js';
import { WorkerPool } from './io/pool.js';

/** Threads that run programs on an execution provider of ONNX Runtime: 'cpu', 'cuda', 'webgpu'. */
export const openPool = (provider: string, workers: number): WorkerPool =>
  new WorkerPool({ workers, workerFile: builtFile(import.meta.url, './io/worker.js'), settings: { provider } });

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

const outputsByName = (program: Program, outputs: readonly TensorData[]): Record<string, TensorData> =>
  Object.fromEntries(program.outputs.map((spec, i) => [spec.name, outputs[i]!]));

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

interface Session {
  readonly program: Program;
  readonly ready: Promise<void>;
  holders: number;
}

/** Programs on ONNX Runtime, in worker threads. Equal programs share their sessions. */
export class OnnxEngine implements Engine {
  readonly #options: OnnxEngineOptions;
  readonly #pool: WorkerPool;
  readonly #sessions = new Map<string, Session>();
  /** Lowered once for all weights. */
  readonly #withoutWeights = new WeakMap<ProgramDefinition, Program>();
  #closed = false;

  constructor(options: OnnxEngineOptions) {
    this.#options = options;
    this.#pool = options.pool;
  }

  get kind(): EngineDescription['kind'] {
    return this.#options.description.kind;
  }

  describe(): EngineDescription {
    return this.#options.description;
  }

  async load(definition: ProgramDefinition, options?: LoadOptions): Promise<Compiled> {
    this.#refuseWhenClosed();
    return this.#load(this.compile(definition, options));
  }

  /** Traces and lowers a program as `load` does, without loading it. */
  compile(definition: ProgramDefinition, options?: LoadOptions): Program {
    return this.#options.compile(definition, { ...options, fixedWeights: false });
  }

  async openFixed(
    definitions: readonly ProgramDefinition[],
    weights: Readonly<Record<string, Float32Array>>,
  ): Promise<FixedPrograms> {
    this.#refuseWhenClosed();
    checkFixedWeights(definitions, weights);
    const { provider, workers } = this.#options.description;
    const pool = openPool(provider, workers);
    try {
      const programs = definitions.map((definition) => this.#lowerForFixed(definition));
      await Promise.all(
        programs.map((program) =>
          pool.load(
            { ...program, weights: [] },
            program.weights.map((weight) => ({ weight, values: weights[weight.name]! })),
          ),
        ),
      );
      return {
        programs: programs.map(
          (program) => new CompiledProgram({ ...program, weights: [] }, pool, () => pool.unload(program.digest)),
        ),
        close: () => pool.close(),
      };
    } catch (error) {
      await pool.close();
      throw error;
    }
  }

  #lowerForFixed(definition: ProgramDefinition): Program {
    const known = this.#withoutWeights.get(definition);
    if (known !== undefined) return known;
    const program = this.#options.compile(definition, { fixedWeights: true });
    this.#withoutWeights.set(definition, program);
    return program;
  }

  /**
   * Loads a program that was lowered before, perhaps by another process or on another machine.
   * Errors: THAW_ENGINE_PROGRAM_CORRUPT when it is not what its digest says, or was lowered for what this engine is not.
   */
  async loadProgram(program: Program): Promise<Compiled> {
    this.#refuseWhenClosed();
    verifyProgram(program, this.#options.description);
    return this.#load(program);
  }

  async #load(program: Program): Promise<Compiled> {
    let session = this.#sessions.get(program.digest);
    if (session === undefined) {
      session = { program, ready: this.#pool.load(program), holders: 0 };
      this.#sessions.set(program.digest, session);
    }
    session.holders++;
    try {
      await session.ready;
    } catch (error) {
      this.#sessions.delete(program.digest);
      throw error;
    }
    return new CompiledProgram(program, this.#pool, () => this.#release(session));
  }

  #release(session: Session): void {
    if (--session.holders > 0) return;
    this.#sessions.delete(session.program.digest);
    this.#pool.unload(session.program.digest);
  }

  close(): Promise<void> {
    this.#closed = true;
    return this.#pool.close();
  }

  #refuseWhenClosed(): void {
    if (this.#closed) throw new ThawError('THAW_ENGINE_CLOSED', 'the engine was closed');
  }
}

class CompiledProgram implements Compiled {
  readonly #program: Program;
  readonly #pool: WorkerPool;
  #release: (() => void) | undefined;
  /** Calls on their way: sessions are freed only after the last. */
  readonly #running = new Set<Promise<unknown>>();

  constructor(program: Program, pool: WorkerPool, release: () => void) {
    this.#program = program;
    this.#pool = pool;
    this.#release = release;
  }

  get name(): string {
    return this.#program.name;
  }
  get weights(): Program['weights'] {
    return this.#program.weights;
  }
  get inputs(): Program['inputs'] {
    return this.#program.inputs;
  }
  get outputs(): Program['outputs'] {
    return this.#program.outputs;
  }
  get digest(): string {
    return this.#program.digest;
  }
  get resultDigest(): string {
    return this.#program.resultDigest;
  }

  async run(call: EngineCall): Promise<Record<string, TensorData>> {
    const program = this.#program;
    if (this.#release === undefined)
      throw new ThawError('THAW_ENGINE_CLOSED', `program '${program.name}' was disposed`);
    checkCall(program, call);
    const running = this.#pool.run({
      program,
      weights: program.weights.map((weight) => call.weights[weight.name]!),
      inputs: program.inputs.map((input) => call.inputs[input.name]!),
      ...(call.into !== undefined && { results: program.outputs.map(({ name }) => call.into![name]) }),
      ...(call.weightsVersion !== undefined && { version: String(call.weightsVersion) }),
      ...(call.signal !== undefined && { signal: call.signal }),
    });
    this.#running.add(running);
    try {
      const outputs = await running;
      return outputsByName(program, outputs);
    } finally {
      this.#running.delete(running);
    }
  }

  async dispose(): Promise<void> {
    const release = this.#release;
    this.#release = undefined;
    await Promise.allSettled(this.#running);
    release?.();
  }
}
