/**
 * Matrices of Winograd's minimal filtering F(m x m, r x r) in the construction of Toom and Cook (Lavin and Gray,
 * "Fast Algorithms for Convolutional Neural Networks", arXiv 1509.09308), as Kronecker products: two-dimensional
 * tiles are rows of a matrix, so that each transform is one product with a constant. Row-major.
 */
export interface Matrix {
  readonly rows: number;
  readonly columns: number;
  readonly data: Float32Array;
}

type Rows = readonly (readonly number[])[];

/** Interpolation points; the last one used is infinity. Small fractions keep rounding errors small. */
const points = [0, 1, -1, 0.5, -2, 2];

interface Transforms {
  /** [t, t]: a tile of the image. */
  readonly image: Rows;
  /** [t, r]: the filter. */
  readonly filter: Rows;
  /** [m, t]: from products back to the result. */
  readonly result: Rows;
}

const power = (x: number, n: number): number => Array.from({ length: n }).reduce<number>((product) => product * x, 1);

/** Product of two polynomials, coefficients by rising power. */
function polynomialProduct(a: readonly number[], b: readonly number[]): number[] {
  const product = new Array<number>(a.length + b.length - 1).fill(0);
  a.forEach((x, i) => b.forEach((y, j) => (product[i + j]! += x * y)));
  return product;
}

/** One-dimensional transforms of F(m, r), t = m + r - 1. */
function transforms(m: number, r: number): Transforms {
  const t = m + r - 1;
  const finite = points.slice(0, t - 1);
  const others = (i: number): number[] => finite.filter((_, j) => j !== i);
  const image = finite.map((_, i) => [
    ...others(i).reduce<number[]>((product, x) => polynomialProduct(product, [-x, 1]), [1]),
    0,
  ]);
  image.push(finite.reduce<number[]>((product, x) => polynomialProduct(product, [-x, 1]), [1]));
  const filter = finite.map((point, i) => {
    const scale = others(i).reduce((product, x) => product * (point - x), 1);
    return Array.from({ length: r }, (_, k) => power(point, k) / scale);
  });
  filter.push(Array.from({ length: r }, (_, k) => Number(k === r - 1)));
  const result = Array.from({ length: m }, (_, k) => [...finite.map((x) => power(x, k)), Number(k === m - 1)]);
  return { image, filter, result };
}

const kronecker = (x: Rows, y: Rows): number[][] =>
  x.flatMap((a) => y.map((b) => a.flatMap((p) => b.map((q) => p * q))));

const transposed = (x: Rows): number[][] => x[0]!.map((_, column) => x.map((row) => row[column]!));

const matrix = (rows: Rows): Matrix => ({
  rows: rows.length,
  columns: rows[0]!.length,
  data: Float32Array.from(rows.flat()),
});

/**
 * The filter transform of a 4x4 filter whose taps fall into four phases (row parity, column parity): rows are
 * (tap, phase), columns the 16 taps. `place(k, phase)` is the position of tap k in that phase's short filter, or -1.
 */
function phasedFilter(filter: Rows, place: (k: number, phase: number) => number): number[][] {
  const taps = Array.from({ length: 16 }, (_, k) => [k >> 2, k & 3] as const);
  const phases = [0, 1].flatMap((p) => [0, 1].map((q) => [p, q] as const));
  return filter.flatMap((a) =>
    filter.flatMap((b) =>
      phases.map(([p, q]) =>
        taps.map(([y, x]) => {
          const [i, j] = [place(y, p), place(x, q)];
          return i < 0 || j < 0 ? 0 : a[i]! * b[j]!;
        }),
      ),
    ),
  );
}

/** Stride-2 convolution: output row y reads input rows 2y - 1 + k, so tap k meets parity k mod 2 of the padded rows. */
const stridedPlace = (k: number, phase: number): number => (k % 2 === phase ? k >> 1 : -1);

/** Transposed stride-2 convolution: even output rows meet taps 3, 1; odd ones taps 2, 0, one row further on. */
const transposedPlace = (k: number, phase: number): number =>
  [
    [-1, 1, -1, 0],
    [2, -1, 1, -1],
  ][phase]![k]!;

export type WinogradMatrixName =
  | 'image'
  | 'result'
  | 'result-adjoint'
  | 'filter'
  | 'filter-turned'
  | 'filter-adjoint'
  | 'filter-turned-adjoint'
  | 'strided-filter'
  | 'strided-filter-adjoint'
  | 'transposed-filter';

export function winogradMatrix(name: WinogradMatrixName, m: number, r: number): Matrix {
  const { image, filter, result } = transforms(m, r);
  switch (name) {
    case 'image':
      return matrix(kronecker(image, image));
    case 'result':
      return matrix(kronecker(result, result));
    case 'result-adjoint':
      return matrix(transposed(kronecker(result, result)));
    case 'filter':
      return matrix(kronecker(filter, filter));
    case 'filter-turned':
      return matrix(kronecker(filter, filter).map((row) => [...row].reverse()));
    case 'filter-adjoint':
      return matrix(transposed(kronecker(filter, filter)));
    case 'filter-turned-adjoint':
      return matrix(transposed(kronecker(filter, filter).map((row) => [...row].reverse())));
    case 'strided-filter':
      return matrix(phasedFilter(filter, stridedPlace));
    case 'strided-filter-adjoint':
      return matrix(transposed(phasedFilter(filter, stridedPlace)));
    case 'transposed-filter':
      return matrix(phasedFilter(filter, transposedPlace));
  }
}
