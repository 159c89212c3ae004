/** Shape arithmetic. Shapes are outermost dimension first; a scalar has shape []. */
export type Shape = readonly number[];

export const sizeOf = (shape: Shape): number => shape.reduce((product, dimension) => product * dimension, 1);

export const sameShape = (a: Shape, b: Shape): boolean =>
  a.length === b.length && a.every((dimension, axis) => dimension === b[axis]);

/** 0, 1, ... n - 1: the identity permutation. */
export const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

export const isIdentity = (permutation: readonly number[]): boolean => permutation.every((axis, i) => axis === i);

export const inversePermutation = (permutation: readonly number[]): number[] =>
  permutation.map((_, axis) => permutation.indexOf(axis));

/** NumPy broadcasting of two shapes that are known to be compatible. */
export function broadcastShape(a: Shape, b: Shape): number[] {
  const rank = Math.max(a.length, b.length);
  return range(rank).map((axis) => {
    const p = a[a.length - rank + axis] ?? 1;
    const q = b[b.length - rank + axis] ?? 1;
    return p === 1 ? q : p;
  });
}

/** Row-major strides, in elements. */
export function stridesOf(shape: Shape): number[] {
  const strides = new Array<number>(shape.length).fill(1);
  for (let axis = shape.length - 2; axis >= 0; axis--) strides[axis] = strides[axis + 1]! * shape[axis + 1]!;
  return strides;
}

/** Copies `data` of shape `shape` into the order in which axis `permutation[i]` comes i-th. */
export function permuteData<T extends Float32Array | Int32Array>(
  data: T,
  shape: Shape,
  permutation: readonly number[],
): T {
  const result = new (data.constructor as new (length: number) => T)(data.length);
  const outShape = permutation.map((axis) => shape[axis]!);
  const strides = stridesOf(shape);
  const outStrides = permutation.map((axis) => strides[axis]!);
  const index = new Array<number>(shape.length).fill(0);
  let source = 0;
  for (let target = 0; target < result.length; target++) {
    result[target] = data[source]!;
    for (let axis = outShape.length - 1; axis >= 0; axis--) {
      source += outStrides[axis]!;
      if (++index[axis]! < outShape[axis]!) break;
      source -= outStrides[axis]! * outShape[axis]!;
      index[axis] = 0;
    }
  }
  return result;
}
