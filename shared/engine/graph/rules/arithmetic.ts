import { broadcastShape, sizeOf } from '../shape.js';
import { isUniform, uniformOf } from '../value.js';
import type { Value } from '../value.js';
import { isUniformOf, splitScale } from './match.js';
import type { Rule } from './rule.js';

const pair = (inputs: readonly Value[]): readonly [Value, Value] => [inputs[0]!, inputs[1]!];

/** Operands of commutative operations in one order: numbers last, else by age. Makes a+b and b+a one value. */
const commutativeOrder: Rule = {
  name: 'commutative-order',
  ops: ['Add', 'Multiply', 'Maximum', 'Minimum'],
  apply(builder, candidate) {
    const [x, y] = pair(candidate.inputs);
    const ordered = isUniform(x) === isUniform(y) ? x.id <= y.id : isUniform(y);
    return ordered ? undefined : builder.make({ ...candidate, inputs: [y, x] });
  },
};

const multiplyByOne: Rule = {
  name: 'multiply-by-one',
  ops: ['Multiply', 'RealDiv'],
  apply: (builder, { inputs, shape }) => (isUniformOf(inputs[1]!, 1) ? builder.expand(inputs[0]!, shape) : undefined),
};

const multiplyByZero: Rule = {
  name: 'multiply-by-zero',
  ops: ['Multiply'],
  apply: (builder, { inputs, shape, dtype }) =>
    isUniformOf(inputs[1]!, 0) ? builder.uniform(0, shape, dtype) : undefined,
};

const addZero: Rule = {
  name: 'add-zero',
  ops: ['Add', 'Sub'],
  apply: (builder, { inputs, shape }) => (isUniformOf(inputs[1]!, 0) ? builder.expand(inputs[0]!, shape) : undefined),
};

/** x / c becomes x * (1 / c): one more rounding, but a factor that can be moved and merged. */
const divideByNumber: Rule = {
  name: 'divide-by-number',
  ops: ['RealDiv'],
  apply(builder, { inputs, dtype }) {
    const [x, y] = pair(inputs);
    return dtype === 'float32' && isUniform(y) && uniformOf(y) !== 0 ? builder.scale(x, 1 / uniformOf(y)) : undefined;
  },
};

/** (x * c) * d becomes x * (c * d). */
const mergeScales: Rule = {
  name: 'merge-scales',
  ops: ['Multiply'],
  apply(builder, { inputs }) {
    const [x, y] = pair(inputs);
    const [factor, base] = splitScale(x);
    return factor !== 1 && isUniform(y) ? builder.scale(base, factor * uniformOf(y)) : undefined;
  },
};

/** (x * c) * y: the factor goes to the smaller operand, or outside of the product where both are large. */
const hoistScale: Rule = {
  name: 'hoist-scale',
  ops: ['Multiply'],
  apply(builder, { inputs, dtype }) {
    const [x, y] = pair(inputs);
    if (isUniform(y)) return undefined;
    const [factorX, baseX] = splitScale(x);
    const [factorY, baseY] = splitScale(y);
    if (factorX === 1 && factorY === 1) return undefined;
    const factor = factorX * factorY;
    const shape = broadcastShape(baseX.shape, baseY.shape);
    const size = sizeOf(shape);
    if (factor === 1) return builder.multiply(baseX, baseY);
    const smallX = sizeOf(baseX.shape) < size;
    const smallY = sizeOf(baseY.shape) < size;
    if (!smallX && !smallY) return builder.scale(builder.multiply(baseX, baseY), factor);
    const operands = smallX ? [builder.scale(baseX, factor), baseY] : [baseX, builder.scale(baseY, factor)];
    operands.sort((a, b) => a.id - b.id);
    // Not through `make`: this rule would take the factor out again.
    return builder.cons({ op: 'Multiply', inputs: operands, attributes: {}, shape, dtype });
  },
};

/** x + (-1 * y) becomes x - y, and c*x + c*y becomes c * (x + y). */
const addScaled: Rule = {
  name: 'add-scaled',
  ops: ['Add'],
  apply(builder, { inputs }) {
    const [x, y] = pair(inputs);
    const [factorX, baseX] = splitScale(x);
    const [factorY, baseY] = splitScale(y);
    if (factorX === factorY && factorX !== 1) return builder.scale(builder.binary('Add', baseX, baseY), factorX);
    if (factorY === -1) return builder.binary('Sub', x, baseY);
    if (factorX === -1) return builder.binary('Sub', y, baseX);
    return undefined;
  },
};

/** x - (-1 * y) becomes x + y. */
const subtractNegated: Rule = {
  name: 'subtract-negated',
  ops: ['Sub'],
  apply(builder, { inputs }) {
    const [factor, base] = splitScale(inputs[1]!);
    return factor === -1 ? builder.binary('Add', inputs[0]!, base) : undefined;
  },
};

export const arithmeticRules: readonly Rule[] = [
  commutativeOrder,
  multiplyByOne,
  multiplyByZero,
  addZero,
  divideByNumber,
  mergeScales,
  hoistScale,
  addScaled,
  subtractNegated,
];
