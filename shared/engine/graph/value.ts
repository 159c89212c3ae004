import type { ConvolutionAttributes, GraphDType, Segment } from '../types.js';
import type { Shape } from './shape.js';

export type DataType = GraphDType;

/** Attributes of an operation: plain data, equal when their JSON is equal. */
export type Attributes = Readonly<Record<string, unknown>>;

/**
 * A value of the simplified graph: the result of `op` on `inputs`. Values are immutable and hash-consed, so equal
 * computations are the same object.
 */
export interface Value {
  readonly id: number;
  readonly op: string;
  readonly inputs: readonly Value[];
  readonly attributes: Attributes;
  readonly shape: Shape;
  readonly dtype: DataType;
  /** The tfjs kernel whose replay made this value first: what errors and node names show. */
  readonly origin: string;
  /** The part of the network in which it was made first. */
  readonly segment: Segment | undefined;
}

/** What a rule looks at: a value that has not been made yet. */
export type Candidate = Omit<Value, 'id' | 'origin' | 'segment'>;

export type ConstantData = Float32Array | Int32Array | Uint8Array;

/** A constant whose elements are all equal is kept as that one number, whatever its shape. */
export const isUniform = (value: Candidate): boolean =>
  value.op === 'Constant' && value.attributes['uniform'] !== undefined;

export const uniformOf = (value: Candidate): number => value.attributes['uniform'] as number;

export const dataOf = (value: Candidate): ConstantData => value.attributes['data'] as ConstantData;

/** Geometry of Conv2D, DepthwiseConv2dNative and their gradients. */
export const convolutionOf = (value: Candidate): ConvolutionAttributes =>
  value.attributes as unknown as ConvolutionAttributes;
