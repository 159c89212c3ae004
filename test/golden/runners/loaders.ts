/** The official loaders on 8-bit sources: resize, crop, flip, range. */
import type { ImagePixels } from '@thaw/shared/data';
import { cropCentre, cutBatch, officialResizeEdge, pillowResize, resizeShorterSide } from '@thaw/shared/data';
import { pixelsToUnit } from '@thaw/shared/pixels';
import { toNchw } from './images.js';
import type { Runner } from './runner.js';

export const loaders: Runner = {
  covers: /^data\//,
  run(golden) {
    const [height, width, channels] = golden.input('source').shape as [number, number, 1 | 3];
    const source: ImagePixels = { width, height, channels, pixels: Uint8Array.from(golden.input('source').data) };
    const size = golden.params.image_size as number;
    const edge = officialResizeEdge(size);
    const resized = pillowResize(source, edge, edge);
    const [top, left] = golden.params.crop as [number, number];
    const official = (pixels: Uint8Array): Float32Array => toNchw(pixelsToUnit(pixels), [1, size, size, channels]);
    const flip = golden.params.flip as boolean;
    return {
      centre: official(cropCentre(resized, size, size).pixels),
      plain: official(cropCentre(resizeShorterSide(source, size), size, size).pixels),
      augmented: official(
        cutBatch({ images: resized.pixels, shape: [edge, edge, channels], size }, () => ({ top, left, flip })),
      ),
    };
  },
};
