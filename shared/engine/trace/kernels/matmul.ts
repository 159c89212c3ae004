import { broadcast_util } from '@tensorflow/tfjs-core';
import type { KernelTable } from '../kernel.js';

export const matmulKernels: KernelTable = {
  BatchMatMul: ({ inputs, attributes, recording }) => {
    const [a, b] = [inputs['a']!, inputs['b']!];
    const transposeA = attributes['transposeA'] === true;
    const transposeB = attributes['transposeB'] === true;
    const batch = broadcast_util.assertAndGetBroadcastShape(a.shape.slice(0, -2), b.shape.slice(0, -2));
    const rows = a.shape.at(transposeA ? -1 : -2)!;
    const columns = b.shape.at(transposeB ? -2 : -1)!;
    return recording.node('BatchMatMul', [a, b], { transposeA, transposeB }, [...batch, rows, columns], a.dtype);
  },
};
