/** The Gaussian fade of the mask families: m_i(d2) = 1 - exp(-d2 / (2 sigma_i^2)) at squared distance d2 from the centre. */
import { exactExp } from '../model/index.js';

export interface FadeSchedule {
  readonly kernelStd: number;
  readonly initialMask: number;
  /** The same width at every step. */
  readonly constant: boolean;
}

/** m_i at squared distance d2. */
export function fade(schedule: FadeSchedule, index: number, squaredDistance: number): number {
  const sigma = schedule.constant ? schedule.kernelStd : schedule.kernelStd * (index + schedule.initialMask);
  return squaredDistance === 0 ? 0 : 1 - exactExp(-squaredDistance / (2 * sigma * sigma));
}

/** Cumulative products: row s = 0..steps, column k: prod_{i < s} m_i(squaredDistances[k]); float64. */
export function cumulativeFades(
  schedule: FadeSchedule,
  steps: number,
  squaredDistances: ArrayLike<number>,
): Float64Array {
  const width = squaredDistances.length;
  const products = new Float64Array((steps + 1) * width).fill(1, 0, width);
  for (let s = 1; s <= steps; s++)
    for (let k = 0; k < width; k++)
      products[s * width + k] = products[(s - 1) * width + k]! * fade(schedule, s - 1, squaredDistances[k]!);
  return products;
}

/** Squared distances of all pixels of a square image from (centre, centre), row-major. */
export const squaredDistances = (size: number, centre: number): Float64Array =>
  Float64Array.from(
    { length: size * size },
    (_, p) => (Math.floor(p / size) - centre) ** 2 + ((p % size) - centre) ** 2,
  );

/** The official centre of the masks that stay in place: half a pixel up-left of the geometric one. */
export const fixedCentre = (size: number): number => size / 2 - 1;
