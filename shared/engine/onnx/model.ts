import { ProtobufWriter } from './protobuf.js';

/** Element types used in graphs, with their numbers in onnx.proto's `TensorProto.DataType`. */
export const onnxDataTypes = { float32: 1, int32: 6, int64: 7, bool: 9 } as const;
export type OnnxDataType = keyof typeof onnxDataTypes;

/** An attribute: an integer, a list of integers, a string, or a float (wrapped, since numbers alone mean integers). */
export type OnnxAttribute = number | readonly number[] | string | { readonly float: number };

export interface OnnxNode {
  readonly name: string;
  readonly op: string;
  /** '' = the standard operators. */
  readonly domain: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Readonly<Record<string, OnnxAttribute>>;
}

export interface OnnxValueInfo {
  readonly name: string;
  readonly dtype: OnnxDataType;
  readonly shape: readonly number[];
}

/** A constant stored in the model: little-endian raw data. */
export interface OnnxInitializer extends OnnxValueInfo {
  readonly data: Float32Array | Int32Array | BigInt64Array | Uint8Array;
}

export interface OnnxModel {
  readonly graphName: string;
  readonly nodes: readonly OnnxNode[];
  readonly initializers: readonly OnnxInitializer[];
  readonly inputs: readonly OnnxValueInfo[];
  readonly outputs: readonly OnnxValueInfo[];
}

const irVersion = 9;
/** Version of the standard operator set that the lowering is written against. */
export const onnxOpsetVersion = 20;

/**
 * Serialises a model (onnx.proto, ModelProto). Field numbers are those of
 * https://github.com/onnx/onnx/blob/main/onnx/onnx.proto. Operator-set imports list the standard set and every other
 * domain that a node uses.
 */
export function encodeModel(model: OnnxModel): Uint8Array {
  const graph = new ProtobufWriter();
  for (const node of model.nodes) graph.message(1, encodeNode(node));
  graph.string(2, model.graphName);
  for (const initializer of model.initializers) graph.message(5, encodeInitializer(initializer));
  for (const input of model.inputs) graph.message(11, encodeValueInfo(input));
  for (const output of model.outputs) graph.message(12, encodeValueInfo(output));

  const file = new ProtobufWriter().integer(1, irVersion).string(2, 'thaw').message(7, graph);
  file.message(8, operatorSet('', onnxOpsetVersion));
  const domains = new Set(model.nodes.map((node) => node.domain).filter((domain) => domain !== ''));
  for (const domain of [...domains].sort()) file.message(8, operatorSet(domain, 1));
  return file.finish();
}

/**
 * A serialised model with more constants in its graph. By the rules of protocol buffers the parts of a message that stands twice are
 * merged, so the constants are appended, and the model is copied as it is.
 */
export function withInitializers(model: Uint8Array, initializers: readonly OnnxInitializer[]): Uint8Array {
  const graph = new ProtobufWriter();
  for (const initializer of initializers) graph.message(5, encodeInitializer(initializer));
  const appended = new ProtobufWriter().message(7, graph);
  const bytes = new Uint8Array(model.length + appended.byteLength);
  bytes.set(model);
  appended.finishInto(bytes, model.length);
  return bytes;
}

const operatorSet = (domain: string, version: number): ProtobufWriter =>
  new ProtobufWriter().string(1, domain).integer(2, version);

function encodeNode(node: OnnxNode): ProtobufWriter {
  const writer = new ProtobufWriter();
  for (const input of node.inputs) writer.string(1, input);
  for (const output of node.outputs) writer.string(2, output);
  writer.string(3, node.name).string(4, node.op);
  for (const [name, value] of Object.entries(node.attributes)) writer.message(5, encodeAttribute(name, value));
  if (node.domain !== '') writer.string(7, node.domain);
  return writer;
}

function encodeAttribute(name: string, value: OnnxAttribute): ProtobufWriter {
  const writer = new ProtobufWriter().string(1, name);
  if (typeof value === 'number') return writer.integer(3, value).integer(20, 2);
  if (typeof value === 'string') return writer.string(4, value).integer(20, 3);
  if ('float' in value) return writer.float(2, value.float).integer(20, 1);
  for (const item of value) writer.integer(8, item);
  return writer.integer(20, 7);
}

function encodeInitializer(initializer: OnnxInitializer): ProtobufWriter {
  const writer = new ProtobufWriter();
  for (const dimension of initializer.shape) writer.integer(1, dimension);
  const { data } = initializer;
  return writer
    .integer(2, onnxDataTypes[initializer.dtype])
    .string(8, initializer.name)
    .bytes(9, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
}

function encodeValueInfo(info: OnnxValueInfo): ProtobufWriter {
  const shape = new ProtobufWriter();
  for (const dimension of info.shape) shape.message(1, new ProtobufWriter().integer(1, dimension));
  const tensorType = new ProtobufWriter().integer(1, onnxDataTypes[info.dtype]).message(2, shape);
  return new ProtobufWriter().string(1, info.name).message(2, new ProtobufWriter().message(1, tensorType));
}
