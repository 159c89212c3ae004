import { isUniform, uniformOf } from '../value.js';
import type { Value } from '../value.js';
import type { GraphBuilder } from '../builder.js';

/** Splits x into [factor, base] where x = base * factor; factor is 1 where x is no product with a number. */
export function splitScale(x: Value): readonly [number, Value] {
  const [base, factor] = x.inputs;
  if (x.op === 'Multiply' && x.dtype === 'float32' && isUniform(factor!)) return [uniformOf(factor!), base!];
  return [1, x];
}

/** What a broadcasting consumer may read in place of x: the operand of an Expand, a scalar for a uniform constant. */
export function withoutBroadcast(builder: GraphBuilder, x: Value): Value {
  if (x.op === 'Expand') return x.inputs[0]!;
  if (isUniform(x) && x.shape.length > 0) return builder.uniform(uniformOf(x), [], x.dtype);
  return x;
}

export const isUniformOf = (x: Value, number: number): boolean => isUniform(x) && uniformOf(x) === number;
