/**
 * CIE Lab (official `to_lab` of the decolorization code): sRGB gamma, D65 white, the constants and thresholds of scikit-image. The
 * inverse cuts nothing off, so states outside the range of an image come back as they were: Lab -> RGB -> Lab is the identity but for
 * rounding. Elementwise operations only: a pixel's bits depend on nothing but the pixel.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { DegradationConfig } from '../protocol/index.js';

/** How the network sees an image that is RGB in [-1, 1] everywhere else. All tensors are [B, H, W, 3]. */
export interface NetworkSpace {
  readonly name: 'lab';
  toNetwork(rgb: tf.Tensor4D): tf.Tensor4D;
  /** The inverse of `toNetwork`; values beyond [-1, 1] are colours that no screen shows. */
  toImage(x: tf.Tensor4D): tf.Tensor4D;
}

type Matrix = readonly (readonly [number, number, number])[];

const xyzOfLinearRgb: Matrix = [
  [0.412453, 0.35758, 0.180423],
  [0.212671, 0.71516, 0.072169],
  [0.019334, 0.119193, 0.950227],
];
const linearRgbOfXyz: Matrix = [
  [3.2404813432005266, -1.5371515162713185, -0.4985363261688878],
  [-0.9692549499965682, 1.8759900014898907, 0.0415559265582928],
  [0.0556466391351772, -0.2040413383665112, 1.0573110696453443],
];
/** D65. */
const white = [0.95047, 1, 1.08883] as const;

const channelsOf = (x: tf.Tensor4D): tf.Tensor[] => tf.split(x, 3, 3);
const joined = (channels: readonly tf.Tensor[]): tf.Tensor4D => tf.concat([...channels], 3) as tf.Tensor4D;
const product = (matrix: Matrix, [a, b, c]: readonly tf.Tensor[]): tf.Tensor[] =>
  matrix.map(([p, q, r]) => tf.add(tf.add(tf.mul(a!, p), tf.mul(b!, q)), tf.mul(c!, r)));

/** `above` where x is greater than the threshold, `below` elsewhere; `above` is given max(x, threshold), so that no power is of a negative. */
const piecewise = (
  x: tf.Tensor,
  threshold: number,
  above: (x: tf.Tensor) => tf.Tensor,
  below: (x: tf.Tensor) => tf.Tensor,
): tf.Tensor => tf.where(tf.greater(x, threshold), above(tf.maximum(x, threshold)), below(x));

const linearOfGamma = (x: tf.Tensor): tf.Tensor =>
  piecewise(
    x,
    0.04045,
    (v) => tf.pow(tf.div(tf.add(v, 0.055), 1.055), 2.4),
    (v) => tf.div(v, 12.92),
  );
const gammaOfLinear = (x: tf.Tensor): tf.Tensor =>
  piecewise(
    x,
    0.0031308,
    (v) => tf.sub(tf.mul(tf.pow(v, 1 / 2.4), 1.055), 0.055),
    (v) => tf.mul(v, 12.92),
  );
const rootOf = (x: tf.Tensor): tf.Tensor =>
  piecewise(
    x,
    0.008856,
    (v) => tf.pow(v, 1 / 3),
    (v) => tf.add(tf.mul(v, 7.787), 4 / 29),
  );
const cubeOf = (x: tf.Tensor): tf.Tensor =>
  piecewise(
    x,
    0.2068966,
    (v) => tf.mul(tf.mul(v, v), v),
    (v) => tf.div(tf.sub(v, 4 / 29), 7.787),
  );

/** RGB in [-1, 1] to L in 0..100, a and b in about -127..127; not scaled, as the official network is given them. */
export function rgbToLab(rgb: tf.Tensor4D): tf.Tensor4D {
  const linear = linearOfGamma(tf.mul(tf.add(rgb, 1), 0.5)) as tf.Tensor4D;
  const xyz = product(xyzOfLinearRgb, channelsOf(linear));
  const [x, y, z] = xyz.map((channel, i) => rootOf(tf.div(channel, white[i]!))) as [tf.Tensor, tf.Tensor, tf.Tensor];
  return joined([tf.sub(tf.mul(y, 116), 16), tf.mul(tf.sub(x, y), 500), tf.mul(tf.sub(y, z), 200)]);
}

/** The inverse of {@link rgbToLab}. */
export function labToRgb(lab: tf.Tensor4D): tf.Tensor4D {
  const [lightness, a, b] = channelsOf(lab) as [tf.Tensor, tf.Tensor, tf.Tensor];
  const y = tf.div(tf.add(lightness, 16), 116);
  const roots = [tf.add(tf.div(a, 500), y), y, tf.sub(y, tf.div(b, 200))];
  const xyz = roots.map((root, i) => tf.mul(cubeOf(root), white[i]!));
  return tf.sub(tf.mul(gammaOfLinear(joined(product(linearRgbOfXyz, xyz))), 2), 1) as tf.Tensor4D;
}

const lab: NetworkSpace = { name: 'lab', toNetwork: rgbToLab, toImage: labToRgb };

/** The space of a run's network; undefined: RGB. */
export const networkSpaceOf = (config: DegradationConfig): NetworkSpace | undefined =>
  config.family === 'decolorization' && config.toLab === true ? lab : undefined;
