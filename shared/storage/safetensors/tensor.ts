/** Tensors as safetensors knows them. Little-endian, row-major. */
export const dtypes = {
  F64: { bytes: 8, array: Float64Array },
  I64: { bytes: 8, array: BigInt64Array },
  F32: { bytes: 4, array: Float32Array },
  I32: { bytes: 4, array: Int32Array },
  U32: { bytes: 4, array: Uint32Array },
  I8: { bytes: 1, array: Int8Array },
  U8: { bytes: 1, array: Uint8Array },
} as const;

export type Dtype = keyof typeof dtypes;
export type TensorArray =
  Float64Array | BigInt64Array | Float32Array | Int32Array | Uint32Array | Int8Array | Uint8Array;

export interface Tensor {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** Row-major, as many values as the shape says, of the array type of `dtype` (F32: Float32Array, I64: BigInt64Array, ...). */
  readonly data: TensorArray;
}
