/** A small writer of ONNX files: enough protobuf, and the messages a computation graph consists of. */
export { ProtobufWriter } from './protobuf.js';
export { encodeModel, onnxDataTypes, onnxOpsetVersion, withInitializers } from './model.js';
export type { OnnxAttribute, OnnxDataType, OnnxInitializer, OnnxModel, OnnxNode, OnnxValueInfo } from './model.js';
