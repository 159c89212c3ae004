import type { NamedAttrMap, TensorInfo } from '@tensorflow/tfjs-core';
import type { Recording } from './recording.js';

export interface KernelCall {
  readonly inputs: Readonly<Record<string, TensorInfo>>;
  /** As tfjs passes them; each rule knows the type of its own. */
  readonly attributes: NamedAttrMap;
  readonly recording: Recording;
}

/** Infers the output of one tfjs kernel and records it. No rule computes a value. */
export type KernelRule = (call: KernelCall) => TensorInfo | TensorInfo[];

export type KernelTable = Readonly<Record<string, KernelRule>>;

/** Non-negative axis of a tensor of this rank. */
export const axisOf = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis);

/** Non-negative ascending axes; all of them when none is named. */
export function axesOf(axes: number | readonly number[] | null | undefined, rank: number): number[] {
  if (axes === null || axes === undefined) return Array.from({ length: rank }, (_, axis) => axis);
  const named = typeof axes === 'number' ? [axes] : axes;
  return [...new Set(named.map((axis) => axisOf(axis, rank)))].sort((a, b) => a - b);
}
