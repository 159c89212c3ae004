import type { KernelTable } from './kernel.js';
import { convolutionKernels } from './kernels/convolution.js';
import { creationKernels } from './kernels/creation.js';
import { elementwiseKernels } from './kernels/elementwise.js';
import { fusedKernels } from './kernels/fused.js';
import { gatherKernels } from './kernels/gather.js';
import { imageKernels } from './kernels/image.js';
import { matmulKernels } from './kernels/matmul.js';
import { reductionKernels } from './kernels/reduction.js';
import { shapeKernels } from './kernels/shape.js';
import { slicingKernels } from './kernels/slicing.js';

/** Every tfjs kernel that can be recorded, by family. The tables of docs/engine-kernels.md come from here. */
export const kernelFamilies: Readonly<Record<string, KernelTable>> = {
  elementwise: elementwiseKernels,
  creation: creationKernels,
  reduction: reductionKernels,
  matmul: matmulKernels,
  convolution: convolutionKernels,
  fused: fusedKernels,
  shape: shapeKernels,
  slicing: slicingKernels,
  gather: gatherKernels,
  image: imageKernels,
};

export interface SupportedKernel {
  /** tfjs kernel name. */
  readonly kernel: string;
  readonly family: string;
}

/** Sorted by family, then by name. */
export function supportedKernels(): SupportedKernel[] {
  return Object.entries(kernelFamilies).flatMap(([family, table]) =>
    Object.keys(table)
      .sort()
      .map((kernel) => ({ kernel, family })),
  );
}
