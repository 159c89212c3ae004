/** Sum of the singular values of a matrix: Householder bidiagonalisation (Golub and Kahan 1965), then implicit QL. */

/** @param matrix row-major [rows, columns]; not changed */
export function nuclearNorm(matrix: Float64Array, rows: number, columns: number): number {
  if (matrix.length !== rows * columns) throw new RangeError(`expected ${rows * columns} values, got ${matrix.length}`);
  if (rows === 0 || columns === 0) return 0;
  const tall = rows >= columns ? matrix.slice() : transposed(matrix, rows, columns);
  const { diagonal, above } = bidiagonal(tall, Math.max(rows, columns), Math.min(rows, columns));
  // The symmetric tridiagonal matrix with these off its zero diagonal has the eigenvalues +-sigma: nothing is squared.
  const off = new Float64Array(2 * diagonal.length);
  diagonal.forEach((value, i) => {
    off[2 * i] = value;
    off[2 * i + 1] = above[i]!;
  });
  let sum = 0;
  for (const value of tridiagonalEigenvalues(new Float64Array(off.length), off)) sum += Math.abs(value);
  return sum / 2;
}

function transposed(matrix: Float64Array, rows: number, columns: number): Float64Array {
  const out = new Float64Array(matrix.length);
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) out[j * rows + i] = matrix[i * columns + j]!;
  return out;
}

/**
 * Householder vector of x: (I - beta v v^T) x = alpha e1. `x` becomes v.
 * Scaled, so that neither squares of large nor of small values are lost.
 */
function householder(x: Float64Array): { alpha: number; beta: number } {
  let largest = 0;
  for (const value of x) largest = Math.max(largest, Math.abs(value));
  if (largest === 0) return { alpha: 0, beta: 0 };
  let square = 0;
  for (let i = 0; i < x.length; i++) {
    x[i]! /= largest;
    square += x[i]! * x[i]!;
  }
  const alpha = x[0]! > 0 ? -Math.sqrt(square) : Math.sqrt(square);
  const first = x[0]! - alpha;
  x[0] = first;
  // |v|^2 = square - x0^2 + (x0 - alpha)^2 = 2 alpha (alpha - x0)
  return { alpha: alpha * largest, beta: -1 / (alpha * first) };
}

/** The bidiagonal matrix of `a` (row-major [m, n], m >= n; destroyed), with `above[n - 1]` = 0. Each step reads what remains twice. */
function bidiagonal(a: Float64Array, m: number, n: number): { diagonal: Float64Array; above: Float64Array } {
  const diagonal = new Float64Array(n);
  const above = new Float64Array(n);
  for (let k = 0; k < n; k++) {
    const u = new Float64Array(m - k);
    for (let i = k; i < m; i++) u[i - k] = a[i * n + k]!;
    const left = householder(u);
    diagonal[k] = left.alpha;
    const width = n - k - 1;
    if (width === 0) break;
    // w = beta A^T u over the columns that remain.
    const w = new Float64Array(width);
    for (let i = k; i < m; i++) {
      const factor = left.beta * u[i - k]!;
      if (factor === 0) continue;
      const at = i * n + k + 1;
      for (let j = 0; j < width; j++) w[j]! += factor * a[at + j]!;
    }
    const v = new Float64Array(width);
    for (let j = 0; j < width; j++) v[j] = a[k * n + k + 1 + j]! - u[0]! * w[j]!;
    const right = householder(v);
    above[k] = right.alpha;
    // Rows below k: A -= u w^T, then A -= beta (A v) v^T.
    for (let i = k + 1; i < m; i++) {
      const at = i * n + k + 1;
      const factor = u[i - k]!;
      let dot = 0;
      for (let j = 0; j < width; j++) {
        const value = a[at + j]! - factor * w[j]!;
        a[at + j] = value;
        dot += value * v[j]!;
      }
      dot *= right.beta;
      for (let j = 0; j < width; j++) a[at + j]! -= dot * v[j]!;
    }
  }
  return { diagonal, above };
}

/**
 * Eigenvalues of a symmetric tridiagonal matrix, in no order (EISPACK tql1: implicit QL).
 * @param d diagonal, [n]; becomes the eigenvalues
 * @param e e[i] is beside d[i] and d[i + 1]; e[n - 1] is not used; destroyed
 */
function tridiagonalEigenvalues(d: Float64Array, e: Float64Array): Float64Array {
  const n = d.length;
  e[n - 1] = 0;
  let largest = 0;
  for (let i = 0; i < n; i++) largest = Math.max(largest, Math.abs(d[i]!) + Math.abs(e[i]!));
  const negligible = Number.EPSILON * largest;
  for (let l = 0; l < n; l++)
    for (let iteration = 0; ; iteration++) {
      let m = l;
      while (m < n - 1 && Math.abs(e[m]!) > negligible) m++;
      if (m === l) break;
      if (iteration === 200) throw new RangeError('the singular values of the matrix did not converge');
      // Shift of Wilkinson.
      const half = (d[l + 1]! - d[l]!) / (2 * e[l]!);
      const length = Math.sqrt(half * half + 1);
      let g = d[m]! - d[l]! + e[l]! / (half + (half >= 0 ? length : -length));
      let [s, c, p] = [1, 1, 0];
      let i = m - 1;
      for (; i >= l; i--) {
        const f = s * e[i]!;
        const b = c * e[i]!;
        const r = Math.sqrt(f * f + g * g);
        e[i + 1] = r;
        if (r === 0) {
          d[i + 1]! -= p;
          e[m] = 0;
          break;
        }
        s = f / r;
        c = g / r;
        const shifted = d[i + 1]! - p;
        const t = (d[i]! - shifted) * s + 2 * c * b;
        p = s * t;
        d[i + 1] = shifted + p;
        g = c * t - b;
      }
      if (i >= l) continue;
      d[l]! -= p;
      e[l] = g;
      e[m] = 0;
    }
  return d;
}
