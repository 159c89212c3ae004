import { permuteData, range, sizeOf, inversePermutation } from '../graph/index.js';
import type { SimplifiedGraph, Value } from '../graph/index.js';
import type { StoredWeight } from '../types.js';
import { chooseConvolution } from './convolution/choose.js';
import type { AxisOrder } from './layouts.js';
import type { ResolvedOptions } from './options.js';

/**
 * The order in which each weight is stored: the one that the convolutions reading it want, so that no step transposes
 * a filter. Where they disagree the forward convolution and the filter gradient (first uses) decide; a weight that no
 * convolution reads, as it is or cut into parts, keeps its model layout.
 */
export function storedOrders(graph: SimplifiedGraph, options: ResolvedOptions): Map<Value, AxisOrder> {
  const orders = new Map<Value, AxisOrder>();
  for (const value of graph.values) {
    const filter = uncut(value.inputs[1]);
    if (filter?.op !== 'Input' || filter.attributes['role'] !== 'weight' || orders.has(filter)) continue;
    if (value.op.endsWith('BackpropFilter')) continue;
    const strategy = chooseConvolution(value, options);
    if (strategy !== undefined) orders.set(filter, strategy.filterOrder);
  }
  return orders;
}

/** A part of a weight is read in the weight's order. */
function uncut(value: Value | undefined): Value | undefined {
  return value?.op === 'Slice' ? uncut(value.inputs[0]) : value;
}

export function storedWeight(weight: Value, order: AxisOrder | undefined): StoredWeight {
  const { shape } = weight;
  return {
    name: weight.attributes['name'] as string,
    shape: [...shape],
    permutation: [...(order ?? range(shape.length))],
    size: sizeOf(shape),
  };
}

/** Shape of a weight as the graph takes it. */
export const storedShape = ({ shape, permutation }: StoredWeight): number[] => permutation.map((axis) => shape[axis]!);

/** Model layout to stored order: a copy. */
export const toStored = (weight: StoredWeight, data: Float32Array): Float32Array =>
  permuteData(data, weight.shape, weight.permutation);

/** Stored order to model layout: a copy. Works for weights, their gradients and optimizer moments alike. */
export const fromStored = (weight: StoredWeight, data: Float32Array): Float32Array =>
  permuteData(data, storedShape(weight), inversePermutation(weight.permutation));
