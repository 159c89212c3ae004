/** 8-bit images to and from the network's range. */

/** v / 255 * 2 - 1 in float32, as the official loader computes it. */
const fromByte = Float32Array.from({ length: 256 }, (_, v) => Math.fround(Math.fround(Math.fround(v / 255) * 2) - 1));

/** uint8 to [-1, 1]. */
export function pixelsToUnit(bytes: Uint8Array, out: Float32Array = new Float32Array(bytes.length)): Float32Array {
  for (let i = 0; i < bytes.length; i++) out[i] = fromByte[bytes[i]!]!;
  return out;
}

/** [-1, 1] to uint8: (x + 1) / 2 * 255 + 0.5, clamped, truncated. NaN becomes 0. */
export function unitToPixels(values: Float32Array): Uint8Array {
  return Uint8Array.from(values, (x) => {
    const v = ((x + 1) / 2) * 255 + 0.5;
    return v >= 255 ? 255 : v > 0 ? Math.floor(v) : 0;
  });
}

/** Mirrors image `row` of [n, size, size, channels] left to right, in place. */
export function flipInPlace(images: Float32Array, row: number, size: number, channels: number): void {
  const area = size * size * channels;
  for (let y = 0; y < size; y++) {
    const line = row * area + y * size * channels;
    for (let left = 0, right = size - 1; left < right; left++, right--)
      for (let c = 0; c < channels; c++) {
        const [a, b] = [line + left * channels + c, line + right * channels + c];
        const value = images[a]!;
        images[a] = images[b]!;
        images[b] = value;
      }
  }
}
