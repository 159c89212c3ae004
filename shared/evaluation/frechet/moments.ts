/** Mean and covariance of feature vectors as they come, float64, in memory that does not grow with their number. */

export interface FeatureStatistics {
  readonly dimensions: number;
  /** Vectors seen. */
  readonly count: number;
  readonly mean: Float64Array;
  /** Row-major [dimensions, dimensions], divided by N - 1. */
  readonly covariance: Float64Array;
}

/** Vectors taken together before they enter the sums. */
const blockRows = 64;

/**
 * Sums of squares around the running mean, block by block (T. Chan, G. Golub, R. LeVeque 1979), so nothing is lost where the mean
 * is large against the deviation. Moments of parts can be merged, also several times: that is what the bootstrap does.
 */
export class FeatureMoments {
  readonly dimensions: number;
  #count = 0;
  readonly #mean: Float64Array;
  /** Row-major; only i <= j is kept up to date. */
  readonly #scatter: Float64Array;
  readonly #waiting: Float64Array;
  #waitingRows = 0;

  constructor(dimensions: number) {
    if (!Number.isSafeInteger(dimensions) || dimensions < 1) throw new RangeError(`${dimensions} dimensions`);
    this.dimensions = dimensions;
    this.#mean = new Float64Array(dimensions);
    this.#scatter = new Float64Array(dimensions * dimensions);
    this.#waiting = new Float64Array(blockRows * dimensions);
  }

  get count(): number {
    return this.#count + this.#waitingRows;
  }

  /** @param features row-major [rows, dimensions], read only */
  add(features: ArrayLike<number>): void {
    const d = this.dimensions;
    if (features.length % d !== 0) throw new RangeError(`${features.length} values are not rows of ${d} features`);
    for (let at = 0; at < features.length; at += d) {
      const to = this.#waitingRows * d;
      for (let i = 0; i < d; i++) this.#waiting[to + i] = features[at + i]!;
      if (++this.#waitingRows === blockRows) this.#flush();
    }
  }

  /** Adds what `other` has seen, `times` times over. */
  merge(other: FeatureMoments, times = 1): void {
    if (other.dimensions !== this.dimensions)
      throw new RangeError(`features of ${this.dimensions} and ${other.dimensions} dimensions cannot be merged`);
    this.#flush();
    other.#flush();
    const d = this.dimensions;
    const added = other.#count * times;
    if (added === 0) return;
    for (let i = 0; i < d; i++)
      for (let at = i * d + i; at < (i + 1) * d; at++) this.#scatter[at]! += times * other.#scatter[at]!;
    this.#shiftMean(other.#mean, added);
  }

  /** @throws RangeError with fewer than two vectors */
  statistics(): FeatureStatistics {
    this.#flush();
    const [d, count] = [this.dimensions, this.#count];
    if (count < 2) throw new RangeError(`a covariance needs two vectors or more, there are ${count}`);
    const covariance = new Float64Array(d * d);
    for (let i = 0; i < d; i++)
      for (let j = i; j < d; j++)
        covariance[i * d + j] = covariance[j * d + i] = this.#scatter[i * d + j]! / (count - 1);
    return { dimensions: d, count, mean: this.#mean.slice(), covariance };
  }

  #flush(): void {
    const [d, rows] = [this.dimensions, this.#waitingRows];
    if (rows === 0) return;
    const mean = new Float64Array(d);
    for (let row = 0; row < rows; row++) for (let i = 0; i < d; i++) mean[i]! += this.#waiting[row * d + i]!;
    for (let i = 0; i < d; i++) mean[i]! /= rows;
    // One feature's values of the block lie together; missing rows of a last block are zeros.
    const centred = new Float64Array(d * blockRows);
    for (let row = 0; row < rows; row++)
      for (let i = 0; i < d; i++) centred[i * blockRows + row] = this.#waiting[row * d + i]! - mean[i]!;
    addProducts(this.#scatter, centred, d);
    this.#waitingRows = 0;
    this.#shiftMean(mean, rows);
  }

  /** Takes in `added` vectors whose scatter around `mean` has been added: what is missing is the distance of the means. */
  #shiftMean(mean: Float64Array, added: number): void {
    const d = this.dimensions;
    const total = this.#count + added;
    const difference = mean.map((value, i) => value - this.#mean[i]!);
    const weight = (this.#count * added) / total;
    if (weight > 0)
      for (let i = 0; i < d; i++) {
        const left = weight * difference[i]!;
        for (let j = i; j < d; j++) this.#scatter[i * d + j]! += left * difference[j]!;
      }
    for (let i = 0; i < d; i++) this.#mean[i]! += (difference[i]! * added) / total;
    this.#count = total;
  }
}

/** scatter[i, j] += sum over the block of centred[i] centred[j], for i <= j; two by two features at a time. */
function addProducts(scatter: Float64Array, centred: Float64Array, d: number): void {
  for (let i = 0; i < d; i += 2) {
    const a = i * blockRows;
    const b = i + 1 < d ? a + blockRows : a;
    for (let j = i; j < d; j += 2) {
      const c = j * blockRows;
      const e = j + 1 < d ? c + blockRows : c;
      let [ac, ae, bc, be] = [0, 0, 0, 0];
      for (let k = 0; k < blockRows; k++) {
        const [va, vb, vc, ve] = [centred[a + k]!, centred[b + k]!, centred[c + k]!, centred[e + k]!];
        ac += va * vc;
        ae += va * ve;
        bc += vb * vc;
        be += vb * ve;
      }
      scatter[i * d + j]! += ac;
      if (e !== c) scatter[i * d + j + 1]! += ae;
      if (b !== a) {
        if (j > i) scatter[(i + 1) * d + j]! += bc;
        if (e !== c) scatter[(i + 1) * d + j + 1]! += be;
      }
    }
  }
}

/** @param features row-major [count, dimensions]; at least two rows */
export function featureStatistics(features: ArrayLike<number>, dimensions: number): FeatureStatistics {
  const moments = new FeatureMoments(dimensions);
  moments.add(features);
  return moments.statistics();
}
