import * as tf from '@tensorflow/tfjs-core';
import { sizeOf } from '../graph/shape.js';
import type { TensorData } from '../types.js';
import type { KernelTape, TapedCall } from '../trace/index.js';

/** A call of a kernel that the backend refused. */
export class KernelFailure extends Error {
  readonly kernel: string;

  constructor(kernel: string, problem: string, cause?: unknown) {
    super(problem, { cause });
    this.kernel = kernel;
  }
}

/** Makes the calls of a tape on tfjs's present backend. */
export class TapePlayer {
  readonly #tape: KernelTape;
  readonly #fixed: Readonly<Record<string, tf.Tensor>>;
  /** Tensors that nothing reads after a call, by the number of the call. */
  readonly #done: readonly (readonly number[])[];

  /**
   * @param fixed weights that are the same in every call; the player owns them
   * @throws KernelFailure for a kernel that the backend does not have
   */
  constructor(tape: KernelTape, fixed: Readonly<Record<string, tf.Tensor>> = {}) {
    this.#tape = tape;
    this.#fixed = fixed;
    for (const { kernel } of tape.calls)
      if (tf.getKernel(kernel, tf.getBackend()) === undefined)
        throw new KernelFailure(kernel, `the backend ${tf.getBackend()} does not have it`);
    this.#done = lastReaders(tape, new Set(Object.keys(fixed).map((name) => tape.weights[name]!)));
  }

  /**
   * @param given weights and inputs by name
   * @returns the outputs in the order of the tape; the backend may own their memory
   * @throws KernelFailure
   */
  play<T>(given: Readonly<Record<string, tf.Tensor>>, take: (tensor: tf.Tensor, output: number) => T): T[] {
    const { weights, inputs, constants, calls, outputs } = this.#tape;
    const tensors = new Map<number, tf.Tensor>();
    for (const [name, number] of [...Object.entries(weights), ...Object.entries(inputs)])
      tensors.set(number, this.#fixed[name] ?? given[name]!);
    for (const { tensor, shape, dtype, data } of constants)
      tensors.set(tensor, tf.tensor(expanded(data, shape), [...shape], dtype));
    calls.forEach((call, number) => {
      const results = makeCall(call, tensors);
      call.outputs.forEach(({ tensor, shape }, i) => {
        const result = results[i];
        if (result === undefined || result.shape.join() !== shape.join())
          throw new KernelFailure(
            call.kernel,
            `it gave the shape [${result?.shape.join(', ') ?? ''}] where [${shape.join(', ')}] was recorded`,
          );
        tensors.set(tensor, result);
      });
      for (const tensor of this.#done[number]!) tensors.get(tensor)?.dispose();
    });
    return outputs.map(({ tensor }, i) => take(tensors.get(tensor)!, i));
  }

  dispose(): void {
    tf.dispose(this.#fixed);
  }
}

function makeCall({ kernel, inputs, attributes }: TapedCall, tensors: ReadonlyMap<number, tf.Tensor>): tf.Tensor[] {
  const read = Array.isArray(inputs)
    ? (inputs as readonly number[]).map((number) => tensors.get(number)!)
    : Object.fromEntries(
        Object.entries(inputs as Record<string, number>).map(([name, number]) => [name, tensors.get(number)!]),
      );
  try {
    const result: tf.Tensor | tf.Tensor[] = tf
      .engine()
      .runKernel(kernel, read as tf.NamedTensorMap, attributes as tf.NamedAttrMap);
    return Array.isArray(result) ? result : [result];
  } catch (error) {
    throw new KernelFailure(kernel, error instanceof Error ? error.message : String(error), error);
  }
}

/** For every call, what it is the last to read or makes for nobody; not outputs, and not `kept`. */
function lastReaders({ calls, outputs }: KernelTape, kept: ReadonlySet<number>): number[][] {
  const last = new Map<number, number>();
  calls.forEach((call, number) => {
    for (const { tensor } of call.outputs) last.set(tensor, number);
    for (const tensor of Object.values(call.inputs) as number[]) last.set(tensor, number);
  });
  for (const { tensor } of outputs) last.delete(tensor);
  const done: number[][] = calls.map(() => []);
  for (const [tensor, number] of last) if (!kept.has(tensor)) done[number]!.push(tensor);
  return done;
}

function expanded(data: Float32Array | Int32Array | Uint8Array, shape: readonly number[]): TensorData | Uint8Array {
  const size = sizeOf(shape);
  if (data.length === size) return data;
  const Type = data.constructor as Float32ArrayConstructor;
  return new Type(size).fill(data[0]!);
}
