/** Tensors in files: the safetensors format. */
export { dtypes } from './tensor.js';
export type { Dtype, Tensor, TensorArray } from './tensor.js';
export {
  decodeSafetensors,
  decodeSafetensorsHeader,
  encodeSafetensors,
  encodeSafetensorsStepwise,
  safetensorsHeaderEnd,
} from './codec.js';
export type { DecodedSafetensors, LazyTensor, SafetensorsHeader, TensorPlace } from './codec.js';
