/** Frechet distance between two sets of features, each seen as one normal distribution (Heusel et al. 2017, the formula of FID). */
import { multiplyMatrices } from '../axis-operator.js';
import { symmetricEigen } from './symmetric-eigen.js';

export interface FeatureStatistics {
  readonly dimensions: number;
  readonly mean: Float64Array;
  /** Row-major [dimensions, dimensions], divided by N - 1. */
  readonly covariance: Float64Array;
}

/** @param features row-major [count, dimensions]; at least two rows */
export function featureStatistics(features: ArrayLike<number>, dimensions: number): FeatureStatistics {
  const count = features.length / dimensions;
  if (!Number.isInteger(count) || count < 2)
    throw new RangeError(`${features.length} values are not two or more rows of ${dimensions} features`);
  const mean = new Float64Array(dimensions);
  for (let row = 0; row < count; row++)
    for (let i = 0; i < dimensions; i++) mean[i]! += features[row * dimensions + i]! / count;
  const covariance = new Float64Array(dimensions * dimensions);
  for (let row = 0; row < count; row++)
    for (let i = 0; i < dimensions; i++) {
      const left = (features[row * dimensions + i]! - mean[i]!) / (count - 1);
      for (let j = 0; j < dimensions; j++)
        covariance[i * dimensions + j]! += left * (features[row * dimensions + j]! - mean[j]!);
    }
  return { dimensions, mean, covariance };
}

/** Square root of a symmetric positive semi-definite matrix; eigenvalues below 0 (rounding) count as 0. */
function squareRoot(matrix: Float64Array, n: number): Float64Array {
  const { values, vectors } = symmetricEigen(matrix, n);
  const scaled = new Float64Array(n * n);
  const transposed = new Float64Array(n * n);
  for (let i = 0; i < n; i++)
    for (let j = 0; j < n; j++) {
      scaled[i * n + j] = vectors[i * n + j]! * Math.sqrt(Math.max(values[j]!, 0));
      transposed[j * n + i] = vectors[i * n + j]!;
    }
  return multiplyMatrices(scaled, transposed, n);
}

/**
 * |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)), float64. The trace of the root is that of (C1^(1/2) C2 C1^(1/2))^(1/2), which is
 * symmetric, so nothing complex appears and no diagonal has to be nudged.
 */
export function frechetDistance(a: FeatureStatistics, b: FeatureStatistics): number {
  const n = a.dimensions;
  if (b.dimensions !== n) throw new RangeError(`features of ${n} and ${b.dimensions} dimensions cannot be compared`);
  const root = squareRoot(a.covariance, n);
  const product = multiplyMatrices(multiplyMatrices(root, b.covariance, n), root, n);
  for (let i = 0; i < n; i++)
    for (let j = 0; j < i; j++)
      product[i * n + j] = product[j * n + i] = (product[i * n + j]! + product[j * n + i]!) / 2;
  let distance = 0;
  for (const value of symmetricEigen(product, n).values) distance -= 2 * Math.sqrt(Math.max(value, 0));
  for (let i = 0; i < n; i++) {
    const difference = a.mean[i]! - b.mean[i]!;
    distance += difference * difference + a.covariance[i * n + i]! + b.covariance[i * n + i]!;
  }
  return distance;
}
