import { ThawError } from '@thaw/shared/protocol';
import { axisOf, type KernelTable } from '../kernel.js';

/** Kernels that address positions by integer tensors. */
export const gatherKernels: KernelTable = {
  GatherV2: ({ inputs, attributes, recording }) => {
    const [x, indices] = [inputs['x']!, inputs['indices']!];
    const batchDims = (attributes['batchDims'] as number | undefined) ?? 0;
    if (batchDims !== 0)
      throw new ThawError('THAW_ENGINE_PROGRAM_INVALID', `tf.gather with batchDims ${batchDims} cannot be traced`, {
        cure: 'Gather with flat indices, or one image at a time.',
      });
    const axis = axisOf((attributes['axis'] as number | undefined) ?? 0, x.shape.length);
    const shape = [...x.shape.slice(0, axis), ...indices.shape, ...x.shape.slice(axis + 1)];
    return recording.node('GatherV2', [x, indices], { axis }, shape, x.dtype);
  },
  GatherNd: ({ inputs, recording }) => {
    const [x, indices] = [inputs['params']!, inputs['indices']!];
    const depth = indices.shape.at(-1)!;
    return recording.node(
      'GatherNd',
      [x, indices],
      {},
      [...indices.shape.slice(0, -1), ...x.shape.slice(depth)],
      x.dtype,
    );
  },
  ScatterNd: ({ inputs, attributes, recording }) => {
    const updates = inputs['updates']!;
    return recording.node(
      'ScatterNd',
      [inputs['indices']!, updates],
      {},
      attributes['shape'] as number[],
      updates.dtype,
    );
  },
  UnsortedSegmentSum: ({ inputs, attributes, recording }) => {
    const x = inputs['x']!;
    const numSegments = attributes['numSegments'] as number;
    const shape = [numSegments, ...x.shape.slice(1)];
    return recording.node('UnsortedSegmentSum', [x, inputs['segmentIds']!], { numSegments }, shape, x.dtype);
  },
};
