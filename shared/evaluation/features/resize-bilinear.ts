/** Bilinear enlarging and shrinking without antialiasing, half-pixel centres (PyTorch `interpolate`, `align_corners` off), as FID programs do it. */
import type { ImageShape } from '../estimates.js';

interface Axis {
  readonly low: Int32Array;
  readonly high: Int32Array;
  /** Share of `high`. */
  readonly share: Float32Array;
}

function axis(from: number, to: number): Axis {
  const low = new Int32Array(to);
  const high = new Int32Array(to);
  const share = new Float32Array(to);
  for (let i = 0; i < to; i++) {
    const at = Math.max(0, ((i + 0.5) * from) / to - 0.5);
    low[i] = Math.min(from - 1, Math.floor(at));
    high[i] = Math.min(from - 1, low[i]! + 1);
    share[i] = at - low[i]!;
  }
  return { low, high, share };
}

/** @param image [H, W, C]; returns [size, size, C], the image itself where it has that size */
export function resizeBilinear(
  image: Float32Array,
  { height, width, channels }: ImageShape,
  size: number,
): Float32Array {
  if (height === size && width === size) return image;
  const [rows, columns] = [axis(height, size), axis(width, size)];
  const out = new Float32Array(size * size * channels);
  const at = (y: number, x: number, c: number): number => image[(y * width + x) * channels + c]!;
  for (let y = 0; y < size; y++) {
    const [top, bottom, down] = [rows.low[y]!, rows.high[y]!, rows.share[y]!];
    for (let x = 0; x < size; x++) {
      const [left, right, across] = [columns.low[x]!, columns.high[x]!, columns.share[x]!];
      for (let c = 0; c < channels; c++) {
        const upper = at(top, left, c) * (1 - across) + at(top, right, c) * across;
        const lower = at(bottom, left, c) * (1 - across) + at(bottom, right, c) * across;
        out[(y * size + x) * channels + c] = upper * (1 - down) + lower * down;
      }
    }
  }
  return out;
}
