import { isUniform, uniformOf } from '../value.js';
import type { Value } from '../value.js';
import { isUniformOf } from './match.js';
import type { Rule } from './rule.js';

/** erf(z) + 1 becomes 2 * Phi(z * sqrt 2), whose factor merges with the 1/2 that formulas have beside it. */
const normalCdf: Rule = {
  name: 'normal-cdf',
  ops: ['Add'],
  apply(builder, { inputs, dtype }) {
    const [x, one] = inputs as readonly [Value, Value];
    if (x.op !== 'Erf' || dtype !== 'float32' || !isUniformOf(one, 1)) return undefined;
    return builder.scale(builder.unary('NormalCdf', x), 2);
  },
};

const isHalfRoot = (value: Value): boolean => isUniform(value) && uniformOf(value) === Math.fround(Math.SQRT1_2);

/** Whether `cdf` is Phi(x), the distribution function of the standard normal distribution. */
function isNormalCdfOf(x: Value, cdf: Value): boolean {
  if (cdf.op !== 'NormalCdf') return false;
  const scaled = cdf.inputs[0]!.inputs[0]!;
  return scaled.op === 'Multiply' && scaled.inputs[0] === x && isHalfRoot(scaled.inputs[1]!);
}

/**
 * x * Phi(x) becomes one operation, the exact GELU. What its gradient needs is computed from x then, instead of being kept
 * since the forward pass.
 */
const gelu: Rule = {
  name: 'gelu',
  ops: ['Multiply'],
  apply(builder, { inputs }) {
    const [a, b] = inputs as readonly [Value, Value];
    const x = isNormalCdfOf(a, b) ? a : isNormalCdfOf(b, a) ? b : undefined;
    return x !== undefined ? builder.unary('Gelu', x) : undefined;
  },
};

export const geluRules: readonly Rule[] = [normalCdf, gelu];
