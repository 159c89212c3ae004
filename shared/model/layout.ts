/** Conversion between the model's layout (tfjs: filters HWIO, NHWC maps) and the official one (PyTorch: OIHW). */

/** One parameter of a network. */
export interface ParameterSpec {
  /** Shape in the model: conv [kh, kw, in, out], depthwise [kh, kw, in, 1], transposed conv [kh, kw, out, in], linear [in, out]. */
  readonly modelShape: readonly number[];
  /** Shape in the official network (PyTorch): conv [out, in, kh, kw], transposed conv [in, out, kh, kw], linear [out, in]. */
  readonly officialShape: readonly number[];
  /** Axes of the model shape in official order: official = reshape(transpose(model, officialPermutation), officialShape). */
  readonly officialPermutation: readonly number[];
  /** How it starts. */
  readonly initial: Initialisation;
}

/** PyTorch's default: uniform in +-1/sqrt(fanIn); or a constant. */
export type Initialisation =
  { readonly kind: 'uniform'; readonly fanIn: number } | { readonly kind: 'constant'; readonly value: number };

export const sizeOf = (shape: readonly number[]): number => shape.reduce((product, extent) => product * extent, 1);

/** Data of a row-major tensor of `shape` with its axes in the order `permutation`. Returns a new array. */
export function transposeData(
  data: Float32Array,
  shape: readonly number[],
  permutation: readonly number[],
): Float32Array {
  if (data.length !== sizeOf(shape))
    throw new RangeError(`expected ${sizeOf(shape)} values for shape [${shape.join(', ')}], got ${data.length}`);
  const strides = new Array<number>(shape.length).fill(1);
  for (let axis = shape.length - 2; axis >= 0; axis--) strides[axis] = strides[axis + 1]! * shape[axis + 1]!;
  const extents = permutation.map((axis) => shape[axis]!);
  const steps = permutation.map((axis) => strides[axis]!);
  const out = new Float32Array(data.length);
  const index = new Array<number>(extents.length).fill(0);
  let source = 0;
  for (let target = 0; target < out.length; target++) {
    out[target] = data[source]!;
    for (let axis = extents.length - 1; axis >= 0; axis--) {
      source += steps[axis]!;
      if (++index[axis]! < extents[axis]!) break;
      source -= steps[axis]! * extents[axis]!;
      index[axis] = 0;
    }
  }
  return out;
}

/** Model layout to official layout (copy). */
export const toOfficial = (spec: ParameterSpec, data: Float32Array): Float32Array =>
  transposeData(data, spec.modelShape, spec.officialPermutation);

/** Official layout to model layout (copy). */
export function fromOfficial(spec: ParameterSpec, data: Float32Array): Float32Array {
  const inverse = new Array<number>(spec.officialPermutation.length);
  spec.officialPermutation.forEach((axis, position) => (inverse[axis] = position));
  const permuted = spec.officialPermutation.map((axis) => spec.modelShape[axis]!);
  return transposeData(data, permuted, inverse);
}
