import { sizeOf } from '../shape.js';
import { isUniform, uniformOf } from '../value.js';
import { splitScale } from './match.js';
import type { Rule } from './rule.js';

const reductions = ['Sum', 'Mean', 'Max', 'Min', 'Prod'] as const;

const axesOf = (attributes: Readonly<Record<string, unknown>>): readonly number[] =>
  attributes['axes'] as readonly number[];

/** Reductions of one number (not of a product over it). */
const reduceUniform: Rule = {
  name: 'reduce-uniform',
  ops: ['Sum', 'Mean', 'Max', 'Min'],
  apply(builder, { op, inputs, attributes, shape, dtype }) {
    const x = inputs[0]!;
    if (!isUniform(x)) return undefined;
    const count = sizeOf(axesOf(attributes).map((axis) => x.shape[axis]!));
    return builder.uniform(op === 'Sum' ? uniformOf(x) * count : uniformOf(x), shape, dtype);
  },
};

/** sum(c * x) becomes c * sum(x): the factor meets fewer elements. */
const reduceScaled: Rule = {
  name: 'reduce-scaled',
  ops: ['Sum', 'Mean'],
  apply(builder, { op, inputs, attributes }) {
    const [factor, base] = splitScale(inputs[0]!);
    if (factor === 1) return undefined;
    return builder.scale(builder.reduce(op, base, axesOf(attributes), attributes['keepDims'] as boolean), factor);
  },
};

/** sum(expand(x)) becomes n * sum(x) over the axes that the expansion does not repeat. */
const sumOfExpand: Rule = {
  name: 'sum-of-expand',
  ops: ['Sum'],
  apply(builder, { inputs, attributes, shape }) {
    const x = inputs[0]!;
    const inner = x.inputs[0];
    if (x.op !== 'Expand' || x.dtype !== 'float32' || inner!.shape.length !== x.shape.length) return undefined;
    const axes = axesOf(attributes);
    const repeated = axes.filter((axis) => inner!.shape[axis] === 1 && x.shape[axis]! > 1);
    if (repeated.length === 0) return undefined;
    const narrowed = builder.expand(
      inner!,
      x.shape.map((dimension, axis) => (repeated.includes(axis) ? 1 : dimension)),
    );
    const sum = builder.reduce('Sum', narrowed, axes, true);
    return builder.scale(builder.reshape(sum, shape), sizeOf(repeated.map((axis) => x.shape[axis]!)));
  },
};

/** Reduced axes of length 1 are dropped, and kept dimensions are the normal form (a Reshape removes them). */
const normalAxes: Rule = {
  name: 'normal-axes',
  ops: reductions,
  apply(builder, { op, inputs, attributes, shape }) {
    const x = inputs[0]!;
    const axes = axesOf(attributes).filter((axis) => x.shape[axis] !== 1);
    if (axes.length === 0) return builder.reshape(x, shape);
    if (attributes['keepDims'] === true && axes.length === axesOf(attributes).length) return undefined;
    return builder.reshape(builder.reduce(op, x, axes, true), shape);
  },
};

export const reductionRules: readonly Rule[] = [reduceUniform, reduceScaled, sumOfExpand, normalAxes];
