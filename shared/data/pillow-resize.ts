/**
 * Bilinear resizing of 8-bit images exactly as Pillow does it (`Image.resize(size, BILINEAR)`), bit for bit. Method:
 * triangle filter widened by the scale when shrinking, coefficients rounded to fixed point with 22 bits, horizontal pass
 * first, each pass rounded to 8 bits. Equal to Pillow 9.5 to 12.0 (the official code ran on one of 9); Pillow 13 goes down
 * the columns first where that is cheaper, which differs by one in some pixels.
 */
import type { ImagePixels } from './preparation.js';

/** Pillow: PRECISION_BITS = 32 - 8 - 2. */
const precisionBits = 22;
const half = 1 << (precisionBits - 1);

/** For every output position the first source position and the fixed-point weights of those from there on. */
interface Taps {
  readonly first: Int32Array;
  readonly weights: readonly Int32Array[];
}

function bilinearTaps(inSize: number, outSize: number): Taps {
  const scale = inSize / outSize;
  const filterScale = Math.max(scale, 1);
  const support = filterScale; // of the triangle: 1, times the scale
  const inverse = 1 / filterScale;
  const first = new Int32Array(outSize);
  const weights: Int32Array[] = [];
  for (let out = 0; out < outSize; out++) {
    const centre = (out + 0.5) * scale;
    const begin = Math.max(0, Math.trunc(centre - support + 0.5));
    const end = Math.min(inSize, Math.trunc(centre + support + 0.5));
    const raw: number[] = [];
    let sum = 0;
    for (let i = begin; i < end; i++) {
      const distance = Math.abs((i - centre + 0.5) * inverse);
      const weight = distance < 1 ? 1 - distance : 0;
      raw.push(weight);
      sum += weight;
    }
    first[out] = begin;
    // Pillow multiplies by the reciprocal: the last bit differs from a division. Weights are not negative, so adding a
    // half and truncating rounds half up.
    const norm = sum === 0 ? 1 : 1 / sum;
    weights.push(Int32Array.from(raw, (weight) => Math.trunc(0.5 + weight * norm * (1 << precisionBits))));
  }
  return { first, weights };
}

const tapsCache = new Map<string, Taps>();
function tapsFor(inSize: number, outSize: number): Taps {
  const key = `${inSize}>${outSize}`;
  let taps = tapsCache.get(key);
  if (taps === undefined) {
    taps = bilinearTaps(inSize, outSize);
    if (tapsCache.size >= 64) tapsCache.clear();
    tapsCache.set(key, taps);
  }
  return taps;
}

/**
 * One pass along the middle of [outer, size, inner]: the same code resizes rows (inner = channels) and columns (inner =
 * width * channels).
 */
function resample(source: Uint8Array, outer: number, inSize: number, inner: number, outSize: number): Uint8Array {
  const { first, weights } = tapsFor(inSize, outSize);
  const out = new Uint8Array(outer * outSize * inner);
  for (let o = 0; o < outer; o++) {
    for (let position = 0; position < outSize; position++) {
      const taps = weights[position]!;
      const from = (o * inSize + first[position]!) * inner;
      const to = (o * outSize + position) * inner;
      for (let i = 0; i < inner; i++) {
        let sum = half;
        for (let k = 0, at = from + i; k < taps.length; k++, at += inner) sum += source[at]! * taps[k]!;
        const value = sum >> precisionBits;
        out[to + i] = value < 0 ? 0 : value > 255 ? 255 : value;
      }
    }
  }
  return out;
}

/** Resizes to `width` x `height`. Returns the image itself when it has that size. */
export function pillowResize(image: ImagePixels, width: number, height: number): ImagePixels {
  const { channels } = image;
  let pixels = image.pixels;
  if (image.width !== width) pixels = resample(pixels, image.height, image.width, channels, width);
  if (image.height !== height) pixels = resample(pixels, 1, image.height, width * channels, height);
  return pixels === image.pixels ? image : { width, height, channels, pixels };
}
