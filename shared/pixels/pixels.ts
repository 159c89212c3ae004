/** 8-bit images to and from the network's range. */

/** v / 255 * 2 - 1 in float32, as the official loaders compute it. */
const fromByte = Float32Array.from({ length: 256 }, (_, v) => Math.fround(Math.fround(Math.fround(v / 255) * 2) - 1));

/** uint8 to [-1, 1]. A new array. */
export function pixelsToUnit(bytes: Uint8Array): Float32Array {
  const out = new Float32Array(bytes.length);
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
