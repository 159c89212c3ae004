import { describe, expect, it } from 'vitest';
import { RandomStream } from '../../runtime/index.js';
import { FeatureMoments, featureStatistics, frechetDistance, type FeatureStatistics } from './index.js';
import { nuclearNorm } from './nuclear-norm.js';
import { pivotedCholesky } from './pivoted-cholesky.js';

const normals = (length: number, seed = 1): Float64Array => {
  const stream = new RandomStream(seed, 'evaluation');
  return Float64Array.from({ length }, () => stream.normal());
};
const diagonal = (values: readonly number[], mean: readonly number[] = values.map(() => 0)): FeatureStatistics => {
  const n = values.length;
  const covariance = new Float64Array(n * n);
  values.forEach((value, i) => (covariance[i * n + i] = value));
  return { dimensions: n, count: 100, mean: Float64Array.from(mean), covariance };
};
/** Q diag(values) Q^T with the Householder reflection Q of `direction`. */
const rotated = (values: readonly number[], direction: readonly number[]): FeatureStatistics => {
  const n = values.length;
  const square = direction.reduce((sum, value) => sum + value * value, 0);
  const q = (i: number, j: number): number => (i === j ? 1 : 0) - (2 * direction[i]! * direction[j]!) / square;
  const covariance = Float64Array.from({ length: n * n }, (_, at) => {
    const [i, j] = [Math.floor(at / n), at % n];
    return values.reduce((sum, value, k) => sum + q(i, k) * value * q(j, k), 0);
  });
  return { ...diagonal(values), covariance };
};

describe('FeatureMoments', () => {
  it('gives the mean and the covariance with N - 1, across blocks', () => {
    const [rows, d] = [150, 5];
    const features = normals(rows * d).map((value, i) => value + 1e6 * (i % d));
    const { mean, covariance, count } = featureStatistics(features, d);
    expect(count).toBe(rows);
    for (let i = 0; i < d; i++) {
      let sum = 0;
      for (let row = 0; row < rows; row++) sum += features[row * d + i]!;
      expect(mean[i]).toBeCloseTo(sum / rows, 8);
      for (let j = 0; j < d; j++) {
        let product = 0;
        for (let row = 0; row < rows; row++)
          product += (features[row * d + i]! - mean[i]!) * (features[row * d + j]! - mean[j]!);
        expect(covariance[i * d + j]).toBeCloseTo(product / (rows - 1), 8);
      }
    }
  });

  it('of parts, merged, are those of the whole; merged twice, those of every vector twice', () => {
    const d = 3;
    const features = normals(100 * d);
    const parts = [features.subarray(0, 70 * d), features.subarray(70 * d)].map((part) => {
      const moments = new FeatureMoments(d);
      moments.add(part);
      return moments;
    });
    const merged = new FeatureMoments(d);
    for (const part of parts) merged.merge(part);
    const whole = featureStatistics(features, d);
    merged.statistics().covariance.forEach((value, i) => expect(value).toBeCloseTo(whole.covariance[i]!, 12));
    const doubled = new FeatureMoments(d);
    doubled.merge(merged, 2);
    const twice = featureStatistics(Float64Array.of(...features, ...features), d);
    expect(doubled.count).toBe(200);
    doubled.statistics().covariance.forEach((value, i) => expect(value).toBeCloseTo(twice.covariance[i]!, 12));
  });

  it('refuse what makes no covariance', () => {
    expect(() => featureStatistics([1, 2, 3], 3)).toThrow('needs two vectors or more, there are 1');
    expect(() => featureStatistics([1, 2, 3], 2)).toThrow('not rows of 2 features');
  });
});

describe('pivotedCholesky', () => {
  it('rebuilds a matrix and finds its rank', () => {
    const [n, rank] = [9, 4];
    const factors = normals(n * rank);
    const matrix = Float64Array.from({ length: n * n }, (_, at) => {
      let sum = 0;
      for (let k = 0; k < rank; k++) sum += factors[Math.floor(at / n) * rank + k]! * factors[(at % n) * rank + k]!;
      return sum;
    });
    const factor = pivotedCholesky(matrix, n);
    expect(factor.rank).toBe(rank);
    matrix.forEach((value, at) => {
      let sum = 0;
      for (let k = 0; k < rank; k++)
        sum += factor.columns[k * n + Math.floor(at / n)]! * factor.columns[k * n + (at % n)]!;
      expect(sum).toBeCloseTo(value, 12);
    });
    expect(pivotedCholesky(new Float64Array(4), 2).rank).toBe(0);
  });
});

describe('nuclearNorm', () => {
  it('is the sum of the singular values', () => {
    expect(nuclearNorm(Float64Array.of(3, 0, 0, -4), 2, 2)).toBeCloseTo(7, 12);
    // Singular values of [[1, 1], [0, 1]]: the golden ratio and its inverse.
    expect(nuclearNorm(Float64Array.of(1, 1, 0, 1), 2, 2)).toBeCloseTo(Math.sqrt(5), 12);
    expect(nuclearNorm(Float64Array.of(3, 4), 1, 2)).toBeCloseTo(5, 12);
    expect(nuclearNorm(Float64Array.of(3, 4), 2, 1)).toBeCloseTo(5, 12);
    expect(nuclearNorm(new Float64Array(12), 3, 4)).toBe(0);
  });

  it('of a positive semi-definite matrix is its trace', () => {
    const n = 40;
    const { covariance } = featureStatistics(normals(25 * n), n);
    let trace = 0;
    for (let i = 0; i < n; i++) trace += covariance[i * n + i]!;
    expect(nuclearNorm(covariance, n, n)).toBeCloseTo(trace, 10);
  });
});

describe('frechetDistance', () => {
  it('in one dimension is (m1 - m2)^2 + (s1 - s2)^2', () => {
    expect(frechetDistance(diagonal([4], [1]), diagonal([9], [3]))).toBeCloseTo(4 + 1, 12);
  });

  it('of diagonal and of commuting covariances is that of the deviations', () => {
    expect(frechetDistance(diagonal([1, 4, 0]), diagonal([9, 25, 16]))).toBeCloseTo(4 + 9 + 16, 12);
    const direction = [1, -2, 0.5];
    expect(frechetDistance(rotated([1, 4, 0], direction), rotated([9, 25, 16], direction))).toBeCloseTo(29, 11);
  });

  it('of rank-deficient covariances on orthogonal axes is the sum of all variances', () => {
    expect(frechetDistance(diagonal([4, 0, 0]), diagonal([0, 0, 9]))).toBeCloseTo(13, 12);
    expect(frechetDistance(diagonal([0, 0]), diagonal([0, 0], [3, 4]))).toBeCloseTo(25, 12);
  });

  it('of a set and itself is 0, also with fewer vectors than dimensions', () => {
    for (const rows of [10, 400]) {
      const statistics = featureStatistics(normals(rows * 60), 60);
      expect(Math.abs(frechetDistance(statistics, statistics))).toBeLessThan(1e-11);
    }
  });

  it('of shifted sets is the squared shift, and symmetric', () => {
    const features = normals(300 * 6);
    const [a, b] = [
      featureStatistics(features, 6),
      featureStatistics(
        features.map((v) => v + 0.5),
        6,
      ),
    ];
    expect(frechetDistance(a, b)).toBeCloseTo(6 * 0.25, 11);
    const other = featureStatistics(normals(200 * 6, 2), 6);
    expect(frechetDistance(a, other)).toBeCloseTo(frechetDistance(other, a), 12);
    expect(() => frechetDistance(a, diagonal([1]))).toThrow('6 and 1 dimensions');
  });

  it('agrees with NumPy and SciPy, singular covariances included', () => {
    const features = (rows: number, seed: number): Float64Array => {
      const stream = new RandomStream(seed, 'evaluation');
      const out = new Float64Array(rows * 8);
      for (let row = 0; row < rows; row++) {
        let before = 0;
        for (let i = 0; i < 8; i++) {
          before = 0.7 * before + stream.uniform() - 0.4;
          out[row * 8 + i] = Math.max(0, before) * (1 + i);
        }
      }
      return out;
    };
    const [many, others, few] = [features(120, 1), features(90, 2), features(6, 3)].map((rows) =>
      featureStatistics(rows, 8),
    );
    // scipy.linalg.sqrtm 1.17: 0.9074119770250704.
    expect(frechetDistance(many!, others!)).toBeCloseTo(0.9074119770250704, 11);
    // Six vectors in eight dimensions: the singular values of the centred vectors' products (numpy.linalg.svd). sqrtm of the product
    // of covariances gives 5.71273038, wrong by 1e-7: it takes the root of rounding.
    expect(frechetDistance(many!, few!)).toBeCloseTo(5.712730494880319, 11);
  });
});
