/** A matrix of low or full rank as L L^T (N. Higham, Accuracy and Stability of Numerical Algorithms, section 10.3). */

export interface CholeskyFactor {
  /** Columns of L. */
  readonly rank: number;
  /** Row-major [rank, n]: row j is column j of L, in the order of the matrix (no permutation to undo). */
  readonly columns: Float64Array;
}

/**
 * A = L L^T for a symmetric positive semi-definite matrix, the largest remaining diagonal first. Ends where what remains is
 * rounding (n 2^-52 of the largest diagonal), so a singular covariance gives as many columns as it has rank.
 * @param matrix row-major [n, n], symmetric; not changed
 */
export function pivotedCholesky(matrix: Float64Array, n: number): CholeskyFactor {
  if (matrix.length !== n * n) throw new RangeError(`expected ${n * n} values, got ${matrix.length}`);
  const remaining = Float64Array.from({ length: n }, (_, i) => matrix[i * n + i]!);
  const smallest = n * Number.EPSILON * remaining.reduce((most, value) => Math.max(most, value), 0);
  const columns = new Float64Array(n * n);
  let rank = 0;
  for (; rank < n; rank++) {
    let pivot = 0;
    for (let i = 1; i < n; i++) if (remaining[i]! > remaining[pivot]!) pivot = i;
    if (!(remaining[pivot]! > smallest)) break;
    const column = columns.subarray(rank * n, (rank + 1) * n);
    column.set(matrix.subarray(pivot * n, (pivot + 1) * n));
    subtractColumns(column, columns, rank, pivot, n);
    const root = Math.sqrt(remaining[pivot]!);
    for (let i = 0; i < n; i++) {
      // Rows taken as pivots have nothing left.
      column[i] = remaining[i] === 0 ? 0 : column[i]! / root;
      remaining[i] = Math.max(0, remaining[i]! - column[i]! * column[i]!);
    }
    column[pivot] = root;
    remaining[pivot] = 0;
  }
  return { rank, columns: columns.subarray(0, rank * n) };
}

/** column -= sum over k < rank of L[pivot, k] L[:, k], four columns at a time. */
function subtractColumns(column: Float64Array, columns: Float64Array, rank: number, pivot: number, n: number): void {
  let k = 0;
  for (; k + 4 <= rank; k += 4) {
    const [a, b, c, d] = [k * n, (k + 1) * n, (k + 2) * n, (k + 3) * n];
    const [fa, fb, fc, fd] = [columns[a + pivot]!, columns[b + pivot]!, columns[c + pivot]!, columns[d + pivot]!];
    for (let i = 0; i < n; i++)
      column[i]! -= fa * columns[a + i]! + fb * columns[b + i]! + fc * columns[c + i]! + fd * columns[d + i]!;
  }
  for (; k < rank; k++) {
    const factor = columns[k * n + pivot]!;
    for (let i = 0; i < n; i++) column[i]! -= factor * columns[k * n + i]!;
  }
}
