/** Tensors in files: the safetensors format. */
export { dtypes } from './tensor.js';
export type { Dtype, Tensor, TensorArray } from './tensor.js';
export { decodeSafetensors, decodeSafetensorsHeader, encodeSafetensors, safetensorsHeaderEnd } from './codec.js';
export type { DecodedSafetensors, SafetensorsHeader, TensorPlace } from './codec.js';
