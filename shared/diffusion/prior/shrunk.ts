/** Degraded images shrunk to a few pixels, and back: what priors are fitted to and drawn as. In float64. */
import { ThawError } from '../../protocol/index.js';
import type { Degradation } from '../degradation.js';
import { area, nearestSource } from '../resize-taps.js';

/**
 * Degrading and then shrinking by area to `edge` pixels, as one matrix per axis [edge, H]: for degradations that act alike on both axes
 * (blur, super-resolution). An image shrinks to P x P^T at a cost that depends on neither T nor the severity.
 * @throws ThawError THAW_REQUEST_INVALID when edge or severity are out of range; THAW_SAMPLING_INVALID for other degradations
 */
export function shrinkingRows(degradation: Degradation, severity: number, edge: number): Float64Array {
  const { size } = degradation.geometry;
  const table = degradation.tables.blur ?? degradation.tables.resize;
  if (table === undefined)
    throw new ThawError('THAW_SAMPLING_INVALID', `The degradation "${degradation.family}" takes no prior.`);
  if (!Number.isInteger(edge) || edge < 1 || edge > size)
    throw new ThawError(
      'THAW_REQUEST_INVALID',
      `edge: ${edge} is not an integer in 1..${size}, the size of the images.`,
    );
  if (!Number.isInteger(severity) || severity < 1 || severity > degradation.steps)
    throw new ThawError(
      'THAW_REQUEST_INVALID',
      `severity: ${severity} is not an integer in 1..${degradation.steps}, the severities of the run.`,
    );
  const operator = table.data.subarray(severity * size * size, (severity + 1) * size * size);
  const rows = new Float64Array(edge * size);
  for (let i = 0; i < edge; i++)
    for (const [source, weight] of area(size, edge, i))
      for (let j = 0; j < size; j++) rows[i * size + j]! += weight * operator[source * size + j]!;
  return rows;
}

/** rows x rows^T per channel: [H, H, C] at `offset` of `images` to [edge, edge, C]. */
export function shrink(
  rows: Float64Array,
  images: Float32Array,
  offset: number,
  size: number,
  channels: number,
): Float64Array {
  const edge = rows.length / size;
  const line = size * channels;
  const half = new Float64Array(edge * line);
  for (let i = 0; i < edge; i++)
    for (let y = 0; y < size; y++) {
      const weight = rows[i * size + y]!;
      if (weight === 0) continue;
      for (let k = 0; k < line; k++) half[i * line + k]! += weight * images[offset + y * line + k]!;
    }
  const out = new Float64Array(edge * edge * channels);
  for (let i = 0; i < edge; i++)
    for (let j = 0; j < edge; j++)
      for (let x = 0; x < size; x++) {
        const weight = rows[j * size + x]!;
        if (weight === 0) continue;
        for (let c = 0; c < channels; c++)
          out[(i * edge + j) * channels + c]! += weight * half[i * line + x * channels + c]!;
      }
  return out;
}

/** [edge, edge, C] to [H, H, C]: every pixel that of its nearest source (PyTorch's nearest-exact). */
export function enlargeNearest(small: ArrayLike<number>, edge: number, size: number, channels: number): Float32Array {
  const source = Array.from({ length: size }, (_, i) => nearestSource(size, edge, i));
  return Float32Array.from({ length: size * size * channels }, (_, i) => {
    const pixel = Math.floor(i / channels);
    const [y, x] = [source[Math.floor(pixel / size)]!, source[pixel % size]!];
    return small[(y * edge + x) * channels + (i % channels)]!;
  });
}
