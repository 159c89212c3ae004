import { ThawError } from '@thaw/shared/protocol';
import { checkCall } from '../program/index.js';
import type { Compiled, EngineCall, NamedTensorSpec, TensorData } from '../types.js';
import type { ThreadProgram } from './messages.js';
import type { ProgramPool } from './pool-share.js';

/** A program that the workers of a pool have loaded. */
export class CompiledProgram<P extends ThreadProgram> implements Compiled {
  readonly #program: P;
  readonly #pool: ProgramPool<P>;
  #release: (() => void) | undefined;
  /** Calls on their way: sessions are freed only after the last. */
  readonly #running = new Set<Promise<unknown>>();

  /** @param release called when it was disposed and its last call is over */
  constructor(program: P, pool: ProgramPool<P>, release: () => void) {
    this.#program = program;
    this.#pool = pool;
    this.#release = release;
  }

  get name(): string {
    return this.#program.name;
  }
  get weights(): P['weights'] {
    return this.#program.weights;
  }
  get inputs(): P['inputs'] {
    return this.#program.inputs;
  }
  get outputs(): P['outputs'] {
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

/** @param outputs in the order of the program's table */
export const outputsByName = (
  program: { readonly outputs: readonly NamedTensorSpec[] },
  outputs: readonly TensorData[],
): Record<string, TensorData> => Object.fromEntries(program.outputs.map((spec, i) => [spec.name, outputs[i]!]));
