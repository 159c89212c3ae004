/** The official loaders on 8-bit sources: resize, crop, flip, range. */
import type { ImagePixels } from '@thaw/shared/data';
import { crop, cropCentre, officialResizeEdge, pillowResize, resizeShorterSide, toSigned } from '@thaw/shared/data';
import { flipInPlace } from '@thaw/shared/diffusion';
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
    const official = (image: ImagePixels, flip = false): Float32Array => {
      const values = toSigned(image.pixels);
      if (flip) flipInPlace(values, 0, size, channels);
      return toNchw(values, [1, size, size, channels]);
    };
    return {
      centre: official(cropCentre(resized, size, size)),
      plain: official(cropCentre(resizeShorterSide(source, size), size, size)),
      augmented: official(crop(resized, left, top, size, size), golden.params.flip as boolean),
    };
  },
};
