import { createHash } from 'node:crypto';
import * as tf from '@tensorflow/tfjs-core';
import { ThawError } from '@thaw/shared/protocol';
import { applyProgram, checkCall, checkDefinition, checkFixedWeights, onBackend } from '../program/index.js';
import { trace } from '../trace/index.js';
import type {
  Compiled,
  DType,
  Engine,
  EngineCall,
  EngineDescription,
  FixedPrograms,
  LoadOptions,
  NamedTensorSpec,
  ProgramDefinition,
  StoredWeight,
  TensorData,
  TensorSpec,
  TracedGraph,
} from '../types.js';

/**
 * A program's own function, op by op on a tfjs backend, in the calling thread. The oracle of the traced engine, and what
 * is left where ONNX Runtime does not run. Weights are stored in the model layout.
 */
export class TfjsEngine implements Engine {
  readonly #description: EngineDescription;
  readonly #backendName: string;
  #closed = false;

  /** The backend must have been started. */
  constructor(description: EngineDescription, backendName: string) {
    this.#description = description;
    this.#backendName = backendName;
  }

  get kind(): EngineDescription['kind'] {
    return this.#description.kind;
  }

  describe(): EngineDescription {
    return this.#description;
  }

  async load(definition: ProgramDefinition, { recompute = 'none' }: LoadOptions = {}): Promise<Compiled> {
    if (recompute !== 'none')
      throw new ThawError(
        'THAW_CONFIG_INVALID',
        `the engine ${this.kind} computes op by op and keeps what tfjs keeps: it can recompute nothing`,
        { cure: 'Leave recompute out, or take an onnx engine.' },
      );
    return this.#load(definition);
  }

  async openFixed(
    definitions: readonly ProgramDefinition[],
    weights: Readonly<Record<string, Float32Array>>,
  ): Promise<FixedPrograms> {
    checkFixedWeights(definitions, weights);
    const loaded = await Promise.all(definitions.map((definition) => this.#load(definition)));
    return {
      programs: loaded.map((compiled) => ({
        ...compiled,
        weights: [],
        run: ({ inputs, signal }) =>
          compiled.run({
            weights: Object.fromEntries(compiled.weights.map(({ name }) => [name, weights[name]!])),
            inputs,
            ...(signal !== undefined && { signal }),
          }),
      })),
      close: async () => void (await Promise.all(loaded.map((compiled) => compiled.dispose()))),
    };
  }

  async #load(definition: ProgramDefinition): Promise<Compiled> {
    checkDefinition(definition);
    this.#refuseWhenClosed();
    const { outputs, digest } = this.#examine(definition);
    const weights = storedWeights(definition);
    const inputs = namedSpecs(definition.inputs);
    const { name } = definition;
    let disposed = false;
    const run = async (call: EngineCall): Promise<Record<string, TensorData>> => {
      if (disposed) throw new ThawError('THAW_ENGINE_CLOSED', `program '${name}' was disposed`);
      checkCall({ name, weights, inputs, outputs }, call);
      await Promise.resolve();
      this.#refuseWhenClosed();
      if (call.signal?.aborted === true)
        throw new ThawError('THAW_ENGINE_ABORTED', `a call of program '${name}' was cancelled`);
      return filled(this.#compute(definition, call), call.into ?? {});
    };
    const dispose = (): Promise<void> => {
      disposed = true;
      return Promise.resolve();
    };
    return { name, weights, inputs, outputs, digest, resultDigest: digest, run, dispose };
  }

  /** Names and shapes of the outputs, and what identifies the program: its traced graph where it can be traced. */
  #examine(definition: ProgramDefinition): { outputs: NamedTensorSpec[]; digest: string } {
    try {
      const graph = trace(definition);
      return { outputs: tracedOutputs(graph), digest: digestOf(graphText(graph)) };
    } catch (error) {
      if (!(error instanceof ThawError && error.code === 'THAW_ENGINE_UNKNOWN_KERNEL')) throw error;
      const specs = this.#compute(definition, zeros(definition), (tensor, output) =>
        namedSpec(output, tensor.shape, tensor.dtype),
      );
      return {
        outputs: Object.values(specs),
        digest: digestOf(JSON.stringify({ ...definition, fn: definition.fn.toString() })),
      };
    }
  }

  #compute(definition: ProgramDefinition, call: EngineCall): Record<string, TensorData>;
  #compute<T>(
    definition: ProgramDefinition,
    call: EngineCall,
    take: (tensor: tf.Tensor, name: string) => T,
  ): Record<string, T>;
  #compute(
    definition: ProgramDefinition,
    call: EngineCall,
    take: (tensor: tf.Tensor, name: string) => unknown = (tensor) => tensor.dataSync().slice(),
  ): Record<string, unknown> {
    try {
      return onBackend(this.#backendName, () =>
        applyProgram(
          definition,
          tensors(definition.weights, call.weights),
          tensors(definition.inputs, call.inputs),
          take,
        ),
      );
    } catch (error) {
      throw failure(definition.name, error);
    }
  }

  close(): Promise<void> {
    this.#closed = true;
    return Promise.resolve();
  }

  #refuseWhenClosed(): void {
    if (this.#closed) throw new ThawError('THAW_ENGINE_CLOSED', 'the engine was closed');
  }
}

/** Results in the arrays that the caller gave for them. */
function filled(
  results: Record<string, TensorData>,
  into: Readonly<Record<string, TensorData>>,
): Record<string, TensorData> {
  for (const [name, array] of Object.entries(into)) {
    array.set(results[name]!);
    results[name] = array;
  }
  return results;
}

function tensors(
  specs: Readonly<Record<string, TensorSpec>>,
  data: Readonly<Record<string, TensorData>>,
): Record<string, tf.Tensor> {
  return Object.fromEntries(
    Object.entries(specs).map(([name, spec]) => [name, tf.tensor(data[name]!.slice(), [...spec.shape], spec.dtype)]),
  );
}

const sizeOf = (shape: readonly number[]): number => shape.reduce((product, length) => product * length, 1);
const digestOf = (text: string): string => createHash('sha256').update(text).digest('hex');

const storedWeights = ({ weights }: ProgramDefinition): StoredWeight[] =>
  Object.entries(weights).map(([name, { shape }]) => ({
    name,
    shape,
    permutation: shape.map((_, axis) => axis),
    size: sizeOf(shape),
  }));

const namedSpecs = (specs: Readonly<Record<string, TensorSpec>>): NamedTensorSpec[] =>
  Object.entries(specs).map(([name, { shape, dtype }]) => ({ name, shape, dtype }));

/** Gradients are flat, as on every engine. */
const namedSpec = (name: string, shape: readonly number[], dtype: string): NamedTensorSpec => ({
  name,
  shape: name.startsWith('grad/') ? [sizeOf(shape)] : [...shape],
  dtype: dtype as DType,
});

const tracedOutputs = (graph: TracedGraph): NamedTensorSpec[] =>
  Object.entries(graph.outputs).map(([name, value]) =>
    namedSpec(name, graph.values[value]!.shape, graph.values[value]!.dtype),
  );

const graphText = (graph: TracedGraph): string =>
  JSON.stringify(graph, (key, value: unknown) => {
    // What may be recomputed is not what is computed.
    if (key === 'segment') return undefined;
    return ArrayBuffer.isView(value) ? Array.from(value as Float32Array) : value;
  });

const zeros = (definition: ProgramDefinition): EngineCall => {
  const fill = (specs: Readonly<Record<string, TensorSpec>>): Record<string, TensorData> =>
    Object.fromEntries(
      Object.entries(specs).map(([name, { shape, dtype }]) => [
        name,
        dtype === 'int32' ? new Int32Array(sizeOf(shape)) : new Float32Array(sizeOf(shape)),
      ]),
    );
  return { weights: fill(definition.weights) as Record<string, Float32Array>, inputs: fill(definition.inputs) };
};

function failure(program: string, error: unknown): unknown {
  if (error instanceof ThawError || !(error instanceof Error)) return error;
  const kernel = /Kernel '(.+)' not registered/.exec(error.message)?.[1];
  if (kernel === undefined)
    return new ThawError('THAW_ENGINE_FAILED', `running program '${program}' failed: ${error.message}`, {
      cause: error,
    });
  return new ThawError(
    'THAW_ENGINE_UNKNOWN_KERNEL',
    `program '${program}' uses the tfjs kernel ${kernel}, which this backend does not have`,
    {
      cause: error,
      cure: 'Choose another engine.',
      details: { kernel, program },
    },
  );
}
