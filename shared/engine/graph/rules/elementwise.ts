import { broadcastShape, sameShape } from '../shape.js';
import { isUniform, uniformOf } from '../value.js';
import type { Value } from '../value.js';
import { withoutBroadcast } from './match.js';
import type { Rule } from './rule.js';

/** Elementwise operations by number of operands; all broadcast. */
export const unaryOps = [
  'Abs', 'Ceil', 'Cos', 'Elu', 'Erf', 'Exp', 'Floor', 'Gelu', 'LeakyRelu', 'Log', 'LogicalNot', 'NormalCdf', 'Reciprocal', 'Relu',
  'Round', 'Selu', 'Sigmoid', 'Sign', 'Sin', 'Softplus', 'Sqrt', 'Step', 'Tanh', 'Cast',
] as const; // prettier-ignore
export const binaryOps = [
  'Add', 'Sub', 'Multiply', 'RealDiv', 'Maximum', 'Minimum', 'Pow', 'Mod', 'FloorDiv',
  'Greater', 'GreaterEqual', 'Less', 'LessEqual', 'Equal', 'NotEqual', 'LogicalAnd', 'LogicalOr',
] as const; // prettier-ignore
export const elementwiseOps: readonly string[] = [...unaryOps, ...binaryOps, 'Select'];

/** f(expand(x), y) becomes expand(f(x, y)): broadcast values are never materialised for an elementwise consumer. */
const lazyBroadcast: Rule = {
  name: 'lazy-broadcast',
  ops: elementwiseOps,
  apply(builder, { op, inputs, attributes, shape, dtype }) {
    const stripped = inputs.map((input) => withoutBroadcast(builder, input));
    if (stripped.every((input, i) => input === inputs[i])) return undefined;
    const inner = stripped.map((input) => input.shape).reduce(broadcastShape);
    return builder.expand(builder.make({ op, inputs: stripped, attributes, shape: inner, dtype }), shape);
  },
};

/** Functions whose result IEEE 754 fixes, so that folding them gives the bits that the runtime would compute. */
const foldable: Readonly<Record<string, (...x: readonly number[]) => number>> = {
  Add: (a, b) => a! + b!,
  Sub: (a, b) => a! - b!,
  Multiply: (a, b) => a! * b!,
  RealDiv: (a, b) => a! / b!,
  Maximum: (a, b) => Math.max(a!, b!),
  Minimum: (a, b) => Math.min(a!, b!),
  Abs: (x) => Math.abs(x!),
  Floor: (x) => Math.floor(x!),
  Ceil: (x) => Math.ceil(x!),
  Relu: (x) => Math.max(x!, 0),
  Sign: (x) => Math.sign(x!),
  Sqrt: (x) => Math.sqrt(x!),
  Reciprocal: (x) => 1 / x!,
};

/** An operation on numbers is a number (float32 only: integer division and overflow are left to the runtime). */
const foldUniform: Rule = {
  name: 'fold-uniform',
  ops: Object.keys(foldable),
  apply(builder, { op, inputs, shape, dtype }) {
    if (dtype !== 'float32' || !inputs.every(isUniform)) return undefined;
    return builder.uniform(foldable[op]!(...inputs.map(uniformOf)), shape);
  },
};

/** A cast to the type a value has already; a cast of a number. */
const foldCast: Rule = {
  name: 'fold-cast',
  ops: ['Cast'],
  apply(builder, { inputs, shape, dtype }) {
    const x = inputs[0]!;
    if (x.dtype === dtype) return x;
    if (!isUniform(x)) return undefined;
    const number = uniformOf(x);
    const converted = dtype === 'bool' ? Number(number !== 0) : dtype === 'int32' ? Math.trunc(number) : number;
    return builder.uniform(converted, shape, dtype);
  },
};

/** step(x, -1), the derivative of |x| in tfjs, becomes sign(x): the same but at 0, where it is 0 as in PyTorch. */
const stepOfAbs: Rule = {
  name: 'step-to-sign',
  ops: ['Step'],
  apply: (builder, { inputs, attributes }) =>
    attributes['alpha'] === -1 ? builder.unary('Sign', inputs[0]!) : undefined,
};

const rewrite = (
  name: string,
  op: string,
  to: (builder: Parameters<Rule['apply']>[0], x: Value, y: Value) => Value,
): Rule => ({
  name,
  ops: [op],
  apply: (builder, { inputs }) => to(builder, inputs[0]!, inputs[1]!),
});

/** Operations that are written in terms of others, so that the other rules see through them. */
const definitions: readonly Rule[] = [
  rewrite('negation', 'Neg', (b, x) =>
    x.dtype === 'float32' ? b.scale(x, -1) : b.multiply(x, b.uniform(-1, [], x.dtype)),
  ),
  rewrite('square', 'Square', (b, x) => b.multiply(x, x)),
  rewrite('reciprocal-square-root', 'Rsqrt', (b, x) => b.unary('Reciprocal', b.unary('Sqrt', x))),
  rewrite('squared-difference', 'SquaredDifference', (b, x, y) => {
    const difference = b.binary('Sub', x, y);
    return b.multiply(difference, difference);
  }),
];

/** x^(1/2), x, x^(3/2), x^2 without the power function. */
const specialPower: Rule = {
  name: 'special-power',
  ops: ['Pow'],
  apply(builder, { inputs, dtype }) {
    const [x, exponent] = inputs as readonly [Value, Value];
    if (dtype !== 'float32' || !isUniform(exponent) || !sameShape(broadcastShape(x.shape, exponent.shape), x.shape))
      return undefined;
    switch (uniformOf(exponent)) {
      case 0.5:
        return builder.unary('Sqrt', x);
      case 1:
        return x;
      case 1.5:
        return builder.multiply(x, builder.unary('Sqrt', x));
      case 2:
        return builder.multiply(x, x);
      case -1:
        return builder.unary('Reciprocal', x);
      default:
        return undefined;
    }
  },
};

/** Both branches equal, or a known condition. */
const foldSelect: Rule = {
  name: 'fold-select',
  ops: ['Select'],
  apply(builder, { inputs, shape }) {
    const [condition, whenTrue, whenFalse] = inputs as readonly [Value, Value, Value];
    if (whenTrue === whenFalse) return builder.expand(whenTrue, shape);
    if (!isUniform(condition)) return undefined;
    return builder.expand(uniformOf(condition) !== 0 ? whenTrue : whenFalse, shape);
  },
};

export const elementwiseRules: readonly Rule[] = [
  ...definitions,
  foldCast,
  stepOfAbs,
  foldUniform,
  lazyBroadcast,
  specialPower,
  foldSelect,
];
