/** Elementary functions in operations that every provider has. Each argument and result is a value of one builder. */
import type { GraphBuilder } from './builder.js';
import { broadcastShape } from './shape.js';
import type { Value } from './value.js';

/** `whenTrue` where the condition holds, else `whenFalse`; broadcast. */
function choose(builder: GraphBuilder, condition: Value, whenTrue: Value, whenFalse: Value): Value {
  const shape = [condition, whenTrue, whenFalse].map((value) => value.shape).reduce(broadcastShape);
  const inputs = [condition, whenTrue, whenFalse];
  return builder.make({ op: 'Select', inputs, attributes: {}, shape, dtype: whenTrue.dtype });
}

/** tfjs: remainder with the sign of the divisor, for both types. */
export function mod(builder: GraphBuilder, a: Value, b: Value): Value {
  if (a.dtype === 'int32') return builder.binary('Mod', a, b);
  const quotient = builder.unary('Floor', builder.binary('RealDiv', a, b));
  return builder.binary('Sub', a, builder.multiply(quotient, b));
}

export function floorDiv(builder: GraphBuilder, a: Value, b: Value): Value {
  if (a.dtype === 'float32') return builder.unary('Floor', builder.binary('RealDiv', a, b));
  return builder.binary('RealDiv', builder.binary('Sub', a, builder.binary('Mod', a, b)), b);
}

export function clip(
  builder: GraphBuilder,
  x: Value,
  { min, max }: { readonly min: number; readonly max: number },
): Value {
  const lower = builder.binary('Maximum', x, builder.uniform(min, [], x.dtype));
  return builder.binary('Minimum', lower, builder.uniform(max, [], x.dtype));
}

/** The derivative of elu from its result y: 1 above 0, y + 1 below. */
export function eluGrad(builder: GraphBuilder, dy: Value, y: Value): Value {
  const positive = builder.binary('GreaterEqual', y, builder.uniform(0), 'bool');
  return choose(builder, positive, dy, builder.multiply(dy, builder.binary('Add', y, builder.uniform(1))));
}

/** e^x - 1 without cancellation: 2 tanh(x/2) / (1 - tanh(x/2)) near 0. */
export function expm1(builder: GraphBuilder, x: Value): Value {
  const half = builder.unary('Tanh', builder.scale(x, 0.5));
  const near = builder.binary('RealDiv', builder.scale(half, 2), builder.binary('Sub', builder.uniform(1), half));
  const far = builder.binary('Sub', builder.unary('Exp', x), builder.uniform(1));
  return choose(builder, builder.binary('Less', builder.unary('Abs', x), builder.uniform(0.5), 'bool'), near, far);
}

/** log(1 + x) without cancellation: with u = fl(1 + x), log(u) * x / (u - 1), and x where u is 1. */
export function log1p(builder: GraphBuilder, x: Value): Value {
  const one = builder.uniform(1);
  const u = builder.binary('Add', x, one);
  const corrected = builder.multiply(
    builder.unary('Log', u),
    builder.binary('RealDiv', x, builder.binary('Sub', u, one)),
  );
  return choose(builder, builder.binary('Equal', u, one, 'bool'), x, corrected);
}

/** The polynomial of {@link atan}, highest power first: P with atan(t) = t + t^3 P(t^2). */
const atanPolynomial = [8.05374449538e-2, -1.38776856032e-1, 1.99777106478e-1, -3.33329491539e-1] as const;

/**
 * atan, relative error about 2e-7. The argument is brought into [0, tan(pi/8)] by atan(t) = pi/2 - atan(1/t) above tan(3 pi/8) and
 * atan(t) = pi/4 + atan((t - 1) / (t + 1)) above tan(pi/8); there the polynomial of the Cephes library (S. Moshier, single/atanf.c).
 */
export function atan(builder: GraphBuilder, x: Value): Value {
  const number = (value: number): Value => builder.uniform(value);
  const magnitude = builder.unary('Abs', x);
  const above = (limit: number): Value => builder.binary('Greater', magnitude, number(limit), 'bool');
  const [large, middle] = [above(2.414213562373095), above(0.4142135623730951)];
  const turned = builder.scale(builder.unary('Reciprocal', magnitude), -1);
  const [less, more] = [builder.binary('Sub', magnitude, number(1)), builder.binary('Add', magnitude, number(1))];
  const shifted = builder.binary('RealDiv', less, more);
  const t = choose(builder, large, turned, choose(builder, middle, shifted, magnitude));
  const rest = choose(builder, middle, number(Math.PI / 4), number(0));
  const offset = choose(builder, large, number(Math.PI / 2), rest);
  const square = builder.multiply(t, t);
  const [highest, ...lower] = atanPolynomial;
  const polynomial = lower.reduce<Value>(
    (sum, coefficient) => builder.binary('Add', builder.multiply(sum, square), number(coefficient)),
    number(highest),
  );
  const bent = builder.multiply(builder.multiply(polynomial, square), t);
  const angle = builder.binary('Add', offset, builder.binary('Add', bent, t));
  return choose(builder, builder.binary('Less', x, number(0), 'bool'), builder.scale(angle, -1), angle);
}

/** atan(y / x), by quadrant; 0 at the origin. */
export function atan2(builder: GraphBuilder, y: Value, x: Value): Value {
  const zero = builder.uniform(0);
  const angle = atan(builder, builder.binary('RealDiv', y, x));
  const negative = builder.binary('Less', y, zero, 'bool');
  const turn = choose(builder, negative, builder.uniform(-Math.PI), builder.uniform(Math.PI));
  const left = builder.binary('Less', x, zero, 'bool');
  const turned = choose(builder, left, builder.binary('Add', angle, turn), angle);
  const bothZero = builder.binary(
    'LogicalAnd',
    builder.binary('Equal', x, zero, 'bool'),
    builder.binary('Equal', y, zero, 'bool'),
  );
  return choose(builder, bothZero, zero, turned);
}

export const tan = (builder: GraphBuilder, x: Value): Value =>
  builder.binary('RealDiv', builder.unary('Sin', x), builder.unary('Cos', x));

/** NaN is what is not equal to itself. */
export const isNan = (builder: GraphBuilder, x: Value): Value => builder.binary('NotEqual', x, x, 'bool');

export const isInf = (builder: GraphBuilder, x: Value): Value =>
  builder.binary('Equal', magnitudeOf(builder, x), builder.uniform(Infinity), 'bool');

export const isFinite = (builder: GraphBuilder, x: Value): Value =>
  builder.binary('Less', magnitudeOf(builder, x), builder.uniform(Infinity), 'bool');

const magnitudeOf = (builder: GraphBuilder, x: Value): Value => builder.unary('Abs', builder.cast(x, 'float32'));
