/** The Gaussian window of blurs, masks and snow, and what it does to an axis. */
import { exactExp } from '../model/index.js';
import type { BlurPadding } from '../protocol/index.js';
import type { RowMap } from './axis-operator.js';

/** w[k] = exp(-(k - floor(n/2))^2 / (2 sigma^2)) / sum, k = 0..taps-1; `taps` odd. sigma may be Infinity (a box). */
export function gaussianWindow(taps: number, sigma: number): Float64Array {
  const centre = Math.floor(taps / 2);
  const window = Float64Array.from({ length: taps }, (_, k) => {
    const squared = (k - centre) * (k - centre);
    return squared === 0 ? 1 : exactExp(-squared / (2 * sigma * sigma)); // sigma^2 may underflow
  });
  const sum = window.reduce((total, value) => total + value, 0);
  return window.map((value) => value / sum);
}

/** The position that `index` outside 0..size-1 stands for; reflect mirrors without repeating the border. */
function paddedIndex(index: number, size: number, padding: BlurPadding): number {
  if (padding === 'circular') return ((index % size) + size) % size;
  if (index < 0) return -index;
  return index >= size ? 2 * (size - 1) - index : index;
}

/** Convolution of an axis with a symmetric window, size kept. The radius must be at most `size` (circular) or `size - 1` (reflect). */
export function windowRowMap(window: Float64Array, size: number, padding: BlurPadding): RowMap {
  const radius = Math.floor(window.length / 2);
  return (rows) => {
    const out = new Float64Array(size * size);
    for (let i = 0; i < size; i++)
      for (let k = -radius; k <= radius; k++) {
        const source = paddedIndex(i + k, size, padding) * size;
        const weight = window[k + radius]!;
        for (let j = 0; j < size; j++) out[i * size + j]! += weight * rows[source + j]!;
      }
    return out;
  };
}

/** Every row becomes the mean of all rows. */
export function meanRowMap(size: number): RowMap {
  return (rows) => {
    const out = new Float64Array(size * size);
    for (let j = 0; j < size; j++) {
      let sum = 0;
      for (let i = 0; i < size; i++) sum += rows[i * size + j]!;
      for (let i = 0; i < size; i++) out[i * size + j] = sum / size;
    }
    return out;
  };
}
