import { isIdentity, sameShape } from '../shape.js';
import { isUniform, uniformOf } from '../value.js';
import type { Value } from '../value.js';
import { splitScale } from './match.js';
import type { Rule } from './rule.js';

/** Moving or cutting one repeated number gives that number. */
const moveUniform: Rule = {
  name: 'move-uniform',
  ops: ['Reshape', 'Transpose', 'Slice', 'Expand', 'Tile', 'Reverse'],
  apply: (builder, { inputs, shape, dtype }) =>
    isUniform(inputs[0]!) ? builder.uniform(uniformOf(inputs[0]!), shape, dtype) : undefined,
};

/** Reshape, Slice and Expand to the shape a value has already; Transpose and Reverse that move nothing. */
const moveNothing: Rule = {
  name: 'move-nothing',
  ops: ['Reshape', 'Slice', 'Expand', 'Transpose', 'Reverse', 'Tile', 'PadV2'],
  apply(_builder, { op, inputs, attributes, shape }) {
    const x = inputs[0]!;
    if (!sameShape(x.shape, shape)) return undefined;
    if (op === 'Transpose') return isIdentity(attributes['perm'] as number[]) ? x : undefined;
    if (op === 'Reverse') return (attributes['axes'] as number[]).every((axis) => shape[axis] === 1) ? x : undefined;
    return x;
  },
};

/** reshape(reshape(x)), expand(expand(x)) and transpose(transpose(x)) become one. */
const mergeMoves: Rule = {
  name: 'merge-moves',
  ops: ['Reshape', 'Expand', 'Transpose'],
  apply(builder, { op, inputs, attributes, shape }) {
    const x = inputs[0]!;
    if (x.op !== op) return undefined;
    const inner = x.inputs[0]!;
    if (op === 'Reshape') return builder.reshape(inner, shape);
    if (op === 'Expand') return builder.expand(inner, shape);
    const outer = attributes['perm'] as number[];
    const first = x.attributes['perm'] as number[];
    return builder.transpose(
      inner,
      outer.map((axis) => first[axis]!),
    );
  },
};

/** A factor moves out of a Reshape or Transpose, towards a product or matrix multiplication that absorbs it. */
const moveScaled: Rule = {
  name: 'move-scaled',
  ops: ['Reshape', 'Transpose'],
  apply(builder, { op, inputs, attributes, shape }) {
    const [factor, base] = splitScale(inputs[0]!);
    if (factor === 1) return undefined;
    const moved =
      op === 'Reshape' ? builder.reshape(base, shape) : builder.transpose(base, attributes['perm'] as number[]);
    return builder.scale(moved, factor);
  },
};

/** Tile of axes of length 1 is a broadcast. */
const tileToExpand: Rule = {
  name: 'tile-to-expand',
  ops: ['Tile'],
  apply(builder, { inputs, attributes, shape }) {
    const x = inputs[0]!;
    const repeats = attributes['reps'] as readonly number[];
    return x.shape.every((dimension, axis) => dimension === 1 || repeats[axis] === 1)
      ? builder.expand(x, shape)
      : undefined;
  },
};

/** slice(slice(x)) becomes one Slice. */
const sliceOfSlice: Rule = {
  name: 'slice-of-slice',
  ops: ['Slice'],
  apply(builder, { inputs, attributes, shape }) {
    const x = inputs[0]!;
    if (x.op !== 'Slice') return undefined;
    const inner = x.attributes['begin'] as readonly number[];
    return builder.slice(
      x.inputs[0]!,
      (attributes['begin'] as number[]).map((b, axis) => b + inner[axis]!),
      shape,
    );
  },
};

/** A Slice that is exactly one part of a Concat is that part. */
const sliceOfConcat: Rule = {
  name: 'slice-of-concat',
  ops: ['Slice'],
  apply(_builder, { inputs, attributes, shape }) {
    const x = inputs[0]!;
    if (x.op !== 'Concat') return undefined;
    const axis = x.attributes['axis'] as number;
    const begin = attributes['begin'] as readonly number[];
    let offset = 0;
    for (const part of x.inputs) {
      if (offset === begin[axis] && sameShape(part.shape, shape)) return part;
      offset += part.shape[axis]!;
    }
    return undefined;
  },
};

const concatOfOne: Rule = {
  name: 'concat-of-one',
  ops: ['Concat'],
  apply: (_builder, { inputs }) => (inputs.length === 1 ? inputs[0] : undefined),
};

/** a(c*x) @ b(d*y) becomes one product with the factor c*d in its `alpha`. */
const matMulScaled: Rule = {
  name: 'matmul-scaled',
  ops: ['BatchMatMul'],
  apply(builder, candidate) {
    const [a, b] = candidate.inputs as readonly [Value, Value];
    const [factorA, baseA] = splitScale(a);
    const [factorB, baseB] = splitScale(b);
    if (factorA === 1 && factorB === 1) return undefined;
    const alpha = Math.fround(factorA * factorB);
    return builder.make({ ...candidate, inputs: [baseA, baseB], attributes: { ...candidate.attributes, alpha } });
  },
};

export const movementRules: readonly Rule[] = [
  moveUniform,
  moveNothing,
  mergeMoves,
  moveScaled,
  tileToExpand,
  sliceOfSlice,
  sliceOfConcat,
  concatOfOne,
  matMulScaled,
];
