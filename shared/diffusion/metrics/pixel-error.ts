/** Pixel errors between two sets of images, float64 sums over everything. */

function checkEqualLength(a: ArrayLike<number>, b: ArrayLike<number>): void {
  if (a.length !== b.length || a.length === 0)
    throw new RangeError(`images of ${a.length} and ${b.length} values cannot be compared`);
}

/** Mean of |a - b|. */
export function l1(a: ArrayLike<number>, b: ArrayLike<number>): number {
  checkEqualLength(a, b);
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += Math.abs(a[i]! - b[i]!);
  return sum / a.length;
}

/** Mean of (a - b)^2. */
export function meanSquaredError(a: ArrayLike<number>, b: ArrayLike<number>): number {
  checkEqualLength(a, b);
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i]! - b[i]!) * (a[i]! - b[i]!);
  return sum / a.length;
}

/** Square root of the mean of (a - b)^2. The paper reports it on images scaled to [0, 1]. */
export const rmse = (a: ArrayLike<number>, b: ArrayLike<number>): number => Math.sqrt(meanSquaredError(a, b));

/** Peak signal to noise ratio in dB; `range` is the distance from the smallest to the largest value an image may have. */
export const psnr = (a: ArrayLike<number>, b: ArrayLike<number>, range = 1): number =>
  20 * Math.log10(range / rmse(a, b));

/** (x + 1) / 2, the scale on which the paper reports errors. Neither clamped nor rounded. */
export const toZeroOne = (x: Float32Array): Float32Array => x.map((value) => (value + 1) * 0.5);
