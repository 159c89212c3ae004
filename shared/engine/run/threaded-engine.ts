import { ThawError } from '@thaw/shared/protocol';
import { checkFixedWeights } from '../program/index.js';
import type { Compiled, Engine, EngineDescription, FixedPrograms, LoadOptions, ProgramDefinition } from '../types.js';
import { CompiledProgram } from './compiled-program.js';
import type { ThreadProgram } from './messages.js';
import type { ProgramPool } from './pool-share.js';

export interface ThreadedEngineOptions<P extends ThreadProgram> {
  readonly description: EngineDescription;
  /** Belongs to the engine, which closes it. */
  readonly pool: ProgramPool<P>;
  /** For programs with fixed weights: threads like those of the pool, as many again if there can be. */
  readonly openPool: () => ProgramPool<P> | Promise<ProgramPool<P>>;
  /** Definition -> what the threads run; `fixedWeights`: to be completed by its weights. */
  readonly compile: (definition: ProgramDefinition, options: LoadOptions & { readonly fixedWeights: boolean }) => P;
}

interface Session<P> {
  readonly program: P;
  readonly ready: Promise<void>;
  holders: number;
}

/** Programs in worker threads. Equal programs share what the workers hold of them. */
export class ThreadedEngine<P extends ThreadProgram> implements Engine {
  readonly #options: ThreadedEngineOptions<P>;
  readonly #sessions = new Map<string, Session<P>>();
  /** Compiled once for all weights. */
  readonly #withoutWeights = new WeakMap<ProgramDefinition, P>();
  #closed = false;

  constructor(options: ThreadedEngineOptions<P>) {
    this.#options = options;
  }

  get kind(): EngineDescription['kind'] {
    return this.#options.description.kind;
  }

  describe(): EngineDescription {
    return this.#options.description;
  }

  async load(definition: ProgramDefinition, options?: LoadOptions): Promise<Compiled> {
    this.#refuseWhenClosed();
    return this.hold(this.compile(definition, options));
  }

  /** Makes what the threads run, as `load` does, without loading it. */
  compile(definition: ProgramDefinition, options?: LoadOptions): P {
    return this.#options.compile(definition, { ...options, fixedWeights: false });
  }

  async openFixed(
    definitions: readonly ProgramDefinition[],
    weights: Readonly<Record<string, Float32Array>>,
  ): Promise<FixedPrograms> {
    this.#refuseWhenClosed();
    checkFixedWeights(definitions, weights);
    const pool = await this.#options.openPool();
    try {
      const programs = definitions.map((definition) => this.#compileForFixed(definition));
      await Promise.all(
        programs.map((program) =>
          pool.load({ ...program, weights: [] }, [
            ...program.weights.map((weight) => ({ weight, values: weights[weight.name]! })),
            ...(program.prepared ?? []).map((prepared) => ({
              weight: prepared.weight,
              values: weights[prepared.weight.name]!,
              prepared,
            })),
          ]),
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

  #compileForFixed(definition: ProgramDefinition): P {
    const known = this.#withoutWeights.get(definition);
    if (known !== undefined) return known;
    const program = this.#options.compile(definition, { fixedWeights: true });
    this.#withoutWeights.set(definition, program);
    return program;
  }

  /** Loads a compiled program, or joins the holders of its equal. */
  protected async hold(program: P): Promise<Compiled> {
    this.#refuseWhenClosed();
    const { pool } = this.#options;
    let session = this.#sessions.get(program.digest);
    if (session === undefined) {
      session = { program, ready: pool.load(program), holders: 0 };
      this.#sessions.set(program.digest, session);
    }
    session.holders++;
    try {
      await session.ready;
    } catch (error) {
      this.#sessions.delete(program.digest);
      throw error;
    }
    return new CompiledProgram(program, pool, () => this.#release(session));
  }

  #release(session: Session<P>): void {
    if (--session.holders > 0) return;
    this.#sessions.delete(session.program.digest);
    this.#options.pool.unload(session.program.digest);
  }

  close(): Promise<void> {
    this.#closed = true;
    return this.#options.pool.close();
  }

  #refuseWhenClosed(): void {
    if (this.#closed) throw new ThawError('THAW_ENGINE_CLOSED', 'the engine was closed');
  }
}
