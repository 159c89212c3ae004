import type { DataId, TensorInfo } from '@tensorflow/tfjs-core';
import { ThawError } from '@thaw/shared/protocol';
import type { GraphDType, Segment, TracedGraph, TracedNode, TracedValue, ValueSource } from '../types.js';
import { TapeRecorder } from './tape.js';

type ConstantData = Float32Array | Int32Array | Uint8Array;

/** The graph under construction: which recorded value stands behind which tensor of this trace. */
export class Recording {
  readonly values: TracedValue[] = [];
  readonly nodes: TracedNode[] = [];
  readonly tape = new TapeRecorder();
  /** What nodes recorded now belong to. */
  segment: Segment | undefined;
  /** The tfjs kernel being recorded, for errors. */
  reader: string | undefined;
  readonly #valueOfData = new WeakMap<DataId, number>();

  /** A new tensor handle for a recorded value. Several handles may stand for one value. */
  handle(value: number): TensorInfo {
    const { shape, dtype } = this.values[value]!;
    const dataId: DataId = {};
    this.#valueOfData.set(dataId, value);
    return { dataId, shape: [...shape], dtype };
  }

  /** The value behind a tensor, or THAW_ENGINE_FOREIGN_TENSOR naming who reads it. */
  valueOf(tensor: TensorInfo, reader = this.reader ?? 'the program'): number {
    const value = this.#valueOfData.get(tensor.dataId);
    if (value === undefined)
      throw new ThawError(
        'THAW_ENGINE_FOREIGN_TENSOR',
        `${reader} reads a ${tensor.dtype} tensor of shape [${tensor.shape.join(', ')}] that was not made by the program being traced`,
      );
    return value;
  }

  lookUp(dataId: DataId): TracedValue | undefined {
    const value = this.#valueOfData.get(dataId);
    return value === undefined ? undefined : this.values[value];
  }

  boundary(kind: 'weight' | 'input', name: string, shape: readonly number[], dtype: GraphDType): TensorInfo {
    const tensor = this.handle(this.#addValue(shape, dtype, { kind, name }));
    this.tape.boundary(kind, name, tensor);
    return tensor;
  }

  /** `data`: one element per position, or a single one for all of them. Converted to the array type of `dtype`. */
  constant(data: ArrayLike<number>, shape: readonly number[], dtype: string): TensorInfo {
    const graphType = graphDType(dtype);
    const kept = isUniform(data) ? [data[0]!] : data;
    return this.handle(this.#addValue(shape, graphType, { kind: 'constant', data: typedArray(kept, graphType) }));
  }

  /** A constant that the program brings: no kernel makes it. */
  upload(data: ArrayLike<number>, shape: readonly number[], dtype: string): TensorInfo {
    const tensor = this.constant(data, shape, dtype);
    const value = this.lookUp(tensor.dataId)!;
    if (value.source.kind === 'constant') this.tape.constant(tensor, value.dtype, value.source.data);
    return tensor;
  }

  node(
    op: string,
    inputs: readonly TensorInfo[],
    attributes: Readonly<Record<string, unknown>>,
    shape: readonly number[],
    dtype: string,
  ): TensorInfo {
    const inputValues = inputs.map((tensor) => this.valueOf(tensor));
    const id = this.nodes.length;
    const output = this.#addValue(shape, graphDType(dtype), { kind: 'node', node: id, port: 0 });
    const { segment } = this;
    this.nodes.push({ id, op, inputs: inputValues, attributes, outputs: [output], ...(segment && { segment }) });
    return this.handle(output);
  }

  /** A second handle for the value of a tensor: a kernel that changes nothing. */
  same(tensor: TensorInfo): TensorInfo {
    return this.handle(this.valueOf(tensor));
  }

  finish(name: string, outputs: Readonly<Record<string, number>>): TracedGraph {
    return { name, values: this.values, nodes: this.nodes, outputs };
  }

  #addValue(shape: readonly number[], dtype: GraphDType, source: ValueSource): number {
    const id = this.values.length;
    this.values.push({ id, shape: [...shape], dtype, source });
    return id;
  }
}

function graphDType(dtype: string): GraphDType {
  if (dtype === 'float32' || dtype === 'int32' || dtype === 'bool') return dtype;
  throw new ThawError(
    'THAW_ENGINE_PROGRAM_INVALID',
    `a tensor of type ${dtype} was made; only float32, int32 and bool can be traced`,
  );
}

function isUniform(data: ArrayLike<number>): boolean {
  if (data.length === 0) return false;
  const first = data[0];
  for (let i = 1; i < data.length; i++) if (!Object.is(data[i], first)) return false;
  return true;
}

function typedArray(data: ArrayLike<number>, dtype: GraphDType): ConstantData {
  if (dtype === 'float32') return Float32Array.from(data);
  return dtype === 'int32' ? Int32Array.from(data) : Uint8Array.from(data, Number);
}
