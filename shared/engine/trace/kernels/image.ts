import type { KernelTable } from '../kernel.js';

export const imageKernels: KernelTable = {
  ResizeNearestNeighbor: ({ inputs, attributes, recording }) => {
    const images = inputs['images']!;
    const [height, width] = attributes['size'] as [number, number];
    const attrs = {
      size: [height, width],
      alignCorners: attributes['alignCorners'] === true,
      halfPixelCenters: attributes['halfPixelCenters'] === true,
    };
    const shape = [images.shape[0]!, height, width, images.shape[3]!];
    return recording.node('ResizeNearestNeighbor', [images], attrs, shape, images.dtype);
  },
  ResizeNearestNeighborGrad: ({ inputs, attributes, recording }) => {
    const [images, dy] = [inputs['images']!, inputs['dy']!];
    const attrs = { size: [dy.shape[1]!, dy.shape[2]!], alignCorners: attributes['alignCorners'] === true };
    return recording.node('ResizeNearestNeighborGrad', [dy], attrs, images.shape, images.dtype);
  },
};
