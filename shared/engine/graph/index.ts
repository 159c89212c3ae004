/** The graph between tracing and lowering: hash-consed values, simplified while they are made. */
export { GraphBuilder, reachable } from './builder.js';
export { toDot } from './dot.js';
export { supportedKernels } from './replay.js';
export { rules } from './rules/index.js';
export type { Rule } from './rules/index.js';
export {
  broadcastShape,
  inversePermutation,
  isIdentity,
  permuteData,
  range,
  sameShape,
  sizeOf,
  stridesOf,
} from './shape.js';
export type { Shape } from './shape.js';
export { simplify } from './simplify.js';
export type { SimplifiedGraph } from './simplify.js';
export { unsupportedOp } from './unsupported.js';
export { convolutionOf, dataOf, isUniform, uniformOf } from './value.js';
export type { Attributes, ConstantData, DataType, Value } from './value.js';
