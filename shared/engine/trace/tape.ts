import type { DataId, NamedAttrMap, TensorInfo } from '@tensorflow/tfjs-core';
import { ThawError } from '@thaw/shared/protocol';
import type { GraphDType } from '../types.js';

export interface TapedTensor {
  /** Its number on the tape. */
  readonly tensor: number;
  readonly shape: readonly number[];
}

/** One call of a tfjs kernel, as tfjs made it. */
export interface TapedCall {
  readonly kernel: string;
  /** Numbers of tensors by the kernel's own names, or in order for a kernel that takes a list. */
  readonly inputs: Readonly<Record<string, number>> | readonly number[];
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly outputs: readonly TapedTensor[];
}

/**
 * What a program does, kernel by kernel: tfjs's own calls in tfjs's own order, without those that no output needs. Made again on a backend of
 * tfjs they give the bits that the program's function gives there. Structured-cloneable.
 */
export interface KernelTape {
  readonly weights: Readonly<Record<string, number>>;
  readonly inputs: Readonly<Record<string, number>>;
  readonly constants: readonly TapedConstant[];
  readonly calls: readonly TapedCall[];
  /** In the order in which the program gave them. */
  readonly outputs: readonly TapedOutput[];
}

export interface TapedConstant extends TapedTensor {
  readonly dtype: GraphDType;
  /** Row-major: one element per position, or exactly one for a tensor whose elements are all equal. */
  readonly data: Float32Array | Int32Array | Uint8Array;
}

export interface TapedOutput extends TapedTensor {
  readonly name: string;
  readonly dtype: GraphDType;
}

/** In place of the number of a tensor that was not made while tracing; some kernels look at its shape alone. */
const foreign = -1;

/** Writes the tape of the program that is being traced. */
export class TapeRecorder {
  readonly #numbers = new WeakMap<DataId, number>();
  readonly #weights: Record<string, number> = {};
  readonly #inputs: Record<string, number> = {};
  readonly #constants: TapedConstant[] = [];
  readonly #calls: TapedCall[] = [];
  #tensors = 0;

  boundary(kind: 'weight' | 'input', name: string, { dataId }: TensorInfo): void {
    (kind === 'weight' ? this.#weights : this.#inputs)[name] = this.#number(dataId);
  }

  constant({ dataId, shape }: TensorInfo, dtype: GraphDType, data: TapedConstant['data']): void {
    this.#constants.push({ tensor: this.#number(dataId), shape: [...shape], dtype, data });
  }

  call(
    kernel: string,
    inputs: Readonly<Record<string, TensorInfo | undefined>> | readonly TensorInfo[],
    attributes: NamedAttrMap,
    outputs: readonly TensorInfo[],
  ): void {
    const numberOf = ({ dataId }: TensorInfo): number => this.#numbers.get(dataId) ?? foreign;
    this.#calls.push({
      kernel,
      inputs: Array.isArray(inputs)
        ? (inputs as readonly TensorInfo[]).map(numberOf)
        : Object.fromEntries(
            Object.entries(inputs).flatMap(([name, tensor]: [string, TensorInfo | undefined]) =>
              tensor === undefined || tensor === null ? [] : [[name, numberOf(tensor)]],
            ),
          ),
      // tfjs may change its arrays afterwards.
      attributes: structuredClone(attributes),
      outputs: outputs.map(({ dataId, shape }) => ({ tensor: this.#number(dataId), shape: [...shape] })),
    });
  }

  finish(results: readonly { readonly name: string; readonly tensor: TensorInfo }[]): KernelTape {
    const outputs = results.map(({ name, tensor: { dataId, shape, dtype } }) => ({
      name,
      tensor: this.#numbers.get(dataId)!,
      shape: [...shape],
      dtype: dtype as GraphDType,
    }));
    const needed = new Set(outputs.map(({ tensor }) => tensor));
    const calls: TapedCall[] = [];
    for (const call of [...this.#calls].reverse()) {
      if (!call.outputs.some(({ tensor }) => needed.has(tensor))) continue;
      for (const tensor of Object.values(call.inputs) as number[]) needed.add(tensor);
      calls.push(call);
    }
    if (needed.has(foreign))
      throw new ThawError(
        'THAW_ENGINE_FOREIGN_TENSOR',
        'a tensor was used that was not made by the program being traced',
      );
    return {
      weights: this.#weights,
      inputs: this.#inputs,
      constants: this.#constants.filter(({ tensor }) => needed.has(tensor)),
      calls: calls.reverse(),
      outputs,
    };
  }

  #number(dataId: DataId): number {
    const number = this.#tensors++;
    this.#numbers.set(dataId, number);
    return number;
  }
}
