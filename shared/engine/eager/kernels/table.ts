import type { NamedAttrMap, Tensor } from '@tensorflow/tfjs-core';

/** A kernel written with tfjs ops: the caller disposes what it makes on the way. */
export type KernelFunction = (inputs: Record<string, Tensor | undefined>, attributes: NamedAttrMap) => Tensor;

/** A kernel is not there for such tensors. */
export class UnsupportedByKernel extends Error {}
