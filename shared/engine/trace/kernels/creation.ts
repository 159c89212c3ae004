import type { KernelTable } from '../kernel.js';

/** Kernels that make tensors from numbers: constants of the graph, kept as one number where all positions are equal. */
export const creationKernels: KernelTable = {
  ZerosLike: ({ inputs, recording }) => recording.constant([0], inputs['x']!.shape, inputs['x']!.dtype),
  OnesLike: ({ inputs, recording }) => recording.constant([1], inputs['x']!.shape, inputs['x']!.dtype),
  Fill: ({ attributes, recording }) =>
    recording.constant(
      [attributes['value'] as number],
      attributes['shape'] as number[],
      (attributes['dtype'] as string | undefined) ?? 'float32',
    ),
  Range: ({ attributes, recording }) => {
    const start = attributes['start'] as number;
    const stop = attributes['stop'] as number;
    const step = attributes['step'] as number;
    const length = Math.max(Math.ceil((stop - start) / step), 0);
    // Repeated addition in the element type, as tfjs's own kernels do it.
    const data = attributes['dtype'] === 'int32' ? new Int32Array(length) : new Float32Array(length);
    for (let i = 0; i < length; i++) data[i] = i === 0 ? start : data[i - 1]! + step;
    return recording.constant(data, [length], (attributes['dtype'] as string | undefined) ?? 'float32');
  },
  LinSpace: ({ attributes, recording }) => {
    const start = attributes['start'] as number;
    const stop = attributes['stop'] as number;
    const count = attributes['num'] as number;
    const step = (stop - start) / (count - 1);
    const data = new Float32Array(count);
    for (let i = 0; i < count; i++) data[i] = i === 0 ? start : data[i - 1]! + step;
    return recording.constant(data, [count], 'float32');
  },
  OneHot: ({ inputs, attributes, recording }) => {
    const indices = inputs['indices']!;
    const depth = attributes['depth'] as number;
    const values = { depth, onValue: attributes['onValue'] as number, offValue: attributes['offValue'] as number };
    const dtype = (attributes['dtype'] as string | undefined) ?? 'int32';
    return recording.node('OneHot', [indices], values, [...indices.shape, depth], dtype);
  },
};
