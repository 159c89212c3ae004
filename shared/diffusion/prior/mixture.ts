/**
 * Gaussian mixtures with full covariance in float64: fitted by EM from a k-means++ start (Dempster et al. 1977; Arthur and Vassilvitskii
 * 2007). Fitting uses Math.exp and Math.log: the result is computed once and stored, drawing from it uses exact arithmetic only.
 */
import { ThawError } from '../../protocol/index.js';
import type { RandomStream } from '../../runtime/index.js';

export interface Mixture {
  /** Shares of the components, sum 1. */
  readonly weights: readonly number[];
  readonly means: readonly (readonly number[])[];
  /** Symmetric, positive definite, row by row. */
  readonly covariances: readonly (readonly (readonly number[])[])[];
}

export interface FittedMixture {
  readonly mixture: Mixture;
  /** Mean log-likelihood of a point. */
  readonly logLikelihood: number;
  readonly iterations: number;
}

type Matrix = number[][];

/** Added to every variance, so that no component collapses to a point. */
const leastVariance = 1e-6;
const maxIterations = 500;

/** Lower triangular L with L L^T = matrix. */
export function cholesky(matrix: readonly (readonly number[])[]): Matrix {
  const lower: Matrix = matrix.map((row) => row.map(() => 0));
  for (let i = 0; i < matrix.length; i++)
    for (let j = 0; j <= i; j++) {
      let sum = matrix[i]![j]!;
      for (let k = 0; k < j; k++) sum -= lower[i]![k]! * lower[j]![k]!;
      if (i === j && !(sum > 0)) throw new RangeError('the matrix is not positive definite');
      lower[i]![j] = i === j ? Math.sqrt(sum) : sum / lower[j]![j]!;
    }
  return lower;
}

/** Centres by k-means++: each next one with probability proportional to the squared distance from those there. */
function startingCentres(points: readonly Float64Array[], components: number, stream: RandomStream): Float64Array[] {
  const centres = [points[stream.below(points.length)]!];
  const distances = points.map((point) => squaredDistance(point, centres[0]!));
  while (centres.length < components) {
    const total = distances.reduce((sum, d) => sum + d, 0);
    let left = stream.uniform() * total;
    let chosen = 0;
    while (chosen < points.length - 1 && (left -= distances[chosen]!) >= 0) chosen++;
    const centre = points[chosen]!;
    centres.push(centre);
    points.forEach((point, i) => (distances[i] = Math.min(distances[i]!, squaredDistance(point, centre))));
  }
  return centres;
}

function squaredDistance(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i]! - b[i]!) * (a[i]! - b[i]!);
  return sum;
}

/** The mixture in which point i belongs to component k with share `shares[k][i]`. */
function maximise(points: readonly Float64Array[], shares: readonly Float64Array[]): Mixture {
  const [count, dimension] = [points.length, points[0]!.length];
  const weights: number[] = [];
  const means: number[][] = [];
  const covariances: Matrix[] = [];
  for (const share of shares) {
    let total = 0;
    const mean = new Array<number>(dimension).fill(0);
    points.forEach((point, i) => {
      total += share[i]!;
      for (let d = 0; d < dimension; d++) mean[d]! += share[i]! * point[d]!;
    });
    total = Math.max(total, 1e-12); // a component that nothing belongs to
    for (let d = 0; d < dimension; d++) mean[d]! /= total;
    const covariance: Matrix = mean.map((_, a) => mean.map((_, b) => (a === b ? leastVariance : 0)));
    points.forEach((point, i) => {
      for (let a = 0; a < dimension; a++)
        for (let b = 0; b < dimension; b++)
          covariance[a]![b]! += (share[i]! / total) * (point[a]! - mean[a]!) * (point[b]! - mean[b]!);
    });
    weights.push(total / count);
    means.push(mean);
    covariances.push(covariance);
  }
  return { weights, means, covariances };
}

/** Sets the shares of every point and returns the mean log-likelihood. */
function expect(points: readonly Float64Array[], mixture: Mixture, shares: readonly Float64Array[]): number {
  const dimension = points[0]!.length;
  const lowers = mixture.covariances.map(cholesky);
  const constants = lowers.map((lower, k) => {
    const logDeterminant = lower.reduce((sum, row, i) => sum + Math.log(row[i]!), 0);
    return Math.log(mixture.weights[k]!) - logDeterminant - 0.5 * dimension * Math.log(2 * Math.PI);
  });
  const logs = new Float64Array(lowers.length);
  const solved = new Float64Array(dimension);
  let total = 0;
  points.forEach((point, i) => {
    let largest = -Infinity;
    lowers.forEach((lower, k) => {
      let square = 0;
      for (let a = 0; a < dimension; a++) {
        let rest = point[a]! - mixture.means[k]![a]!;
        for (let b = 0; b < a; b++) rest -= lower[a]![b]! * solved[b]!;
        solved[a] = rest / lower[a]![a]!;
        square += solved[a]! * solved[a]!;
      }
      logs[k] = constants[k]! - 0.5 * square;
      largest = Math.max(largest, logs[k]!);
    });
    let sum = 0;
    for (const log of logs) sum += Math.exp(log - largest);
    const logDensity = largest + Math.log(sum);
    shares.forEach((share, k) => (share[i] = Math.exp(logs[k]! - logDensity)));
    total += logDensity;
  });
  return total / points.length;
}

/**
 * Fits a mixture until the mean log-likelihood gains less than `tolerance` in an iteration.
 * @throws ThawError THAW_REQUEST_INVALID when there are fewer points than components
 */
export function fitMixture(
  points: readonly Float64Array[],
  components: number,
  stream: RandomStream,
  tolerance = 1e-3,
): FittedMixture {
  if (points.length < components || components < 1)
    throw new ThawError(
      'THAW_REQUEST_INVALID',
      `clusters: ${components} cannot be fitted to ${points.length} images; there may be 1 to ${points.length}.`,
    );
  const centres = startingCentres(points, components, stream);
  const shares = centres.map(() => new Float64Array(points.length));
  points.forEach((point, i) => {
    const distances = centres.map((centre) => squaredDistance(point, centre));
    shares[distances.indexOf(Math.min(...distances))]![i] = 1;
  });
  let logLikelihood = -Infinity;
  for (let iterations = 1; ; iterations++) {
    const mixture = maximise(points, shares);
    const likelihood = expect(points, mixture, shares);
    if (likelihood - logLikelihood < tolerance || iterations === maxIterations)
      return { mixture, logLikelihood: likelihood, iterations };
    logLikelihood = likelihood;
  }
}

/** One point: a component by its share, then mean + L z with z normal. */
export function drawFromMixture({ weights, means, covariances }: Mixture, stream: RandomStream): number[] {
  let left = stream.uniform();
  let chosen = 0;
  while (chosen < weights.length - 1 && (left -= weights[chosen]!) >= 0) chosen++;
  const lower = cholesky(covariances[chosen]!);
  const normal = means[chosen]!.map(() => stream.normal());
  return means[chosen]!.map((mean, d) => lower[d]!.reduce((sum, factor, k) => sum + factor * normal[k]!, mean));
}
