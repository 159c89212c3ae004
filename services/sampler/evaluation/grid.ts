/** Contact sheets: rows of equally sized images with a gap between them. Pure. */
import { unitToPixels } from '@thaw/shared/pixels';
import type { ImageShape, Pixels } from '../ports.js';

const gap = 2;
const gapValue = 96;

/**
 * @param rows images in [-1, 1], [H, W, C] each; rows may differ in length
 * @throws RangeError when there is no image or one has another size
 */
export function contactSheet(rows: readonly (readonly Float32Array[])[], shape: ImageShape): Pixels {
  const columns = Math.max(0, ...rows.map((row) => row.length));
  if (columns === 0) throw new RangeError('a contact sheet needs at least one image');
  const { height, width, channels } = shape;
  const sheet = {
    height: rows.length * (height + gap) + gap,
    width: columns * (width + gap) + gap,
    channels,
  };
  const bytes = new Uint8Array(sheet.height * sheet.width * channels).fill(gapValue);
  rows.forEach((row, r) =>
    row.forEach((image, c) => {
      if (image.length !== height * width * channels)
        throw new RangeError(`an image of ${image.length} values does not fit`);
      const pixels = unitToPixels(image);
      for (let y = 0; y < height; y++) {
        const target = ((gap + r * (height + gap) + y) * sheet.width + gap + c * (width + gap)) * channels;
        bytes.set(pixels.subarray(y * width * channels, (y + 1) * width * channels), target);
      }
    }),
  );
  return { ...sheet, bytes };
}
