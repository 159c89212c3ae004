/**
 * Structural similarity (Wang et al. 2004) with the conventions of the package pytorch-msssim, which the official evaluation uses:
 * Gaussian window of 11, sigma 1.5, "valid" area, K = 0.01 and 0.03, biased moments.
 */
import { gaussianWindow } from '../window.js';

export interface ImageBatchShape {
  readonly batch: number;
  readonly height: number;
  readonly width: number;
  readonly channels: number;
}

export interface SsimResult {
  /** Mean over pixels, channels and images. */
  readonly mean: number;
  /** [batch][channel] means over pixels, flat. */
  readonly perChannel: Float64Array;
}

const taps = 11;
const window = gaussianWindow(taps, 1.5);

/** Both axes filtered over the valid area: [height, width] to [height - 10, width - 10]. */
function filterValid(plane: Float64Array, height: number, width: number): Float64Array {
  const [outHeight, outWidth] = [height - taps + 1, width - taps + 1];
  const rows = new Float64Array(outHeight * width);
  for (let y = 0; y < outHeight; y++)
    for (let k = 0; k < taps; k++)
      for (let x = 0; x < width; x++) rows[y * width + x]! += window[k]! * plane[(y + k) * width + x]!;
  const out = new Float64Array(outHeight * outWidth);
  for (let y = 0; y < outHeight; y++)
    for (let x = 0; x < outWidth; x++) {
      let sum = 0;
      for (let k = 0; k < taps; k++) sum += window[k]! * rows[y * width + x + k]!;
      out[y * outWidth + x] = sum;
    }
  return out;
}

/**
 * SSIM of NHWC images.
 * @param range distance from the smallest to the largest value an image may have: 1 for [0, 1]
 * @throws RangeError when an edge is shorter than 11 pixels or the lengths do not match the shape
 */
export function ssim(a: ArrayLike<number>, b: ArrayLike<number>, shape: ImageBatchShape, range = 1): SsimResult {
  const { batch, height, width, channels } = shape;
  const size = batch * height * width * channels;
  if (a.length !== size || b.length !== size)
    throw new RangeError(`expected ${size} values, got ${a.length} and ${b.length}`);
  if (height < taps || width < taps)
    throw new RangeError(`SSIM needs images of at least ${taps} pixels, got ${width} x ${height}`);
  const c1 = (0.01 * range) ** 2;
  const c2 = (0.03 * range) ** 2;
  const perChannel = new Float64Array(batch * channels);
  const pixels = height * width;
  const plane = (value: (i: number) => number, image: number, channel: number): Float64Array =>
    filterValid(
      Float64Array.from({ length: pixels }, (_, p) => value((image * pixels + p) * channels + channel)),
      height,
      width,
    );
  for (let image = 0; image < batch; image++)
    for (let channel = 0; channel < channels; channel++) {
      const meanA = plane((i) => a[i]!, image, channel);
      const meanB = plane((i) => b[i]!, image, channel);
      const squareA = plane((i) => a[i]! * a[i]!, image, channel);
      const squareB = plane((i) => b[i]! * b[i]!, image, channel);
      const product = plane((i) => a[i]! * b[i]!, image, channel);
      let sum = 0;
      for (let p = 0; p < meanA.length; p++) {
        const [ma, mb] = [meanA[p]!, meanB[p]!];
        const contrast = (2 * (product[p]! - ma * mb) + c2) / (squareA[p]! - ma * ma + (squareB[p]! - mb * mb) + c2);
        sum += ((2 * ma * mb + c1) / (ma * ma + mb * mb + c1)) * contrast;
      }
      perChannel[image * channels + channel] = sum / meanA.length;
    }
  return { mean: perChannel.reduce((total, value) => total + value, 0) / perChannel.length, perChannel };
}
