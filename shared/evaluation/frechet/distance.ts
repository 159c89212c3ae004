/** Frechet distance between two sets of features, each seen as one normal distribution (Heusel et al. 2017, the formula of FID). */
import type { FeatureStatistics } from './moments.js';
import { nuclearNorm } from './nuclear-norm.js';
import { pivotedCholesky, type CholeskyFactor } from './pivoted-cholesky.js';

/** What a distance needs of one set, computed once for a set that is compared several times. */
export interface FrechetSide {
  readonly statistics: FeatureStatistics;
  readonly factor: CholeskyFactor;
}

export const frechetSide = (statistics: FeatureStatistics): FrechetSide => ({
  statistics,
  factor: pivotedCholesky(statistics.covariance, statistics.dimensions),
});

/**
 * |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)), float64.
 *
 * With C1 = L L^T and C2 = M M^T the eigenvalues of C1 C2 are the squares of the singular values of
 * L^T M: the trace of the root is their sum. So no product of covariances is formed, whose small eigenvalues would be lost to
 * rounding and come back through the root, nothing complex appears, and no diagonal has to be nudged when a covariance is singular.
 */
export function frechetDistance(a: FeatureStatistics, b: FeatureStatistics): number {
  return distanceOfSides(frechetSide(a), frechetSide(b));
}

export function distanceOfSides(a: FrechetSide, b: FrechetSide): number {
  const n = a.statistics.dimensions;
  if (b.statistics.dimensions !== n)
    throw new RangeError(`features of ${n} and ${b.statistics.dimensions} dimensions cannot be compared`);
  const product = productOfColumns(a.factor, b.factor, n);
  let distance = -2 * nuclearNorm(product, a.factor.rank, b.factor.rank);
  for (let i = 0; i < n; i++) {
    const difference = a.statistics.mean[i]! - b.statistics.mean[i]!;
    distance += difference * difference + a.statistics.covariance[i * n + i]! + b.statistics.covariance[i * n + i]!;
  }
  return distance;
}

/** L^T M, row-major [rank of L, rank of M]; blocks of columns of M stay in the cache. */
function productOfColumns(l: CholeskyFactor, m: CholeskyFactor, n: number): Float64Array {
  const out = new Float64Array(l.rank * m.rank);
  const block = 8;
  for (let first = 0; first < m.rank; first += block)
    for (let i = 0; i < l.rank; i++)
      for (let j = first; j < Math.min(m.rank, first + block); j += 2) {
        const [a, b] = [i * n, j * n];
        const c = j + 1 < m.rank ? b + n : b;
        let [s0, s1, t0, t1] = [0, 0, 0, 0];
        let k = 0;
        for (; k + 2 <= n; k += 2) {
          const [x, y] = [l.columns[a + k]!, l.columns[a + k + 1]!];
          s0 += x * m.columns[b + k]!;
          s1 += y * m.columns[b + k + 1]!;
          t0 += x * m.columns[c + k]!;
          t1 += y * m.columns[c + k + 1]!;
        }
        if (k < n) {
          s0 += l.columns[a + k]! * m.columns[b + k]!;
          t0 += l.columns[a + k]! * m.columns[c + k]!;
        }
        out[i * m.rank + j] = s0 + s1;
        if (c !== b) out[i * m.rank + j + 1] = t0 + t1;
      }
  return out;
}
