import { range, sizeOf } from '../graph/index.js';
import type { Value } from '../graph/index.js';
import type { Lowering, LoweringContext } from './context.js';
import type { Emitted } from './emitter.js';

/** The operand, and whether the product must read it transposed: for free where only the last two axes are swapped. */
function operand(
  { layouts }: LoweringContext,
  value: Value,
  transposed: boolean,
): { tensor: Emitted; transposed: boolean } {
  const rank = value.shape.length;
  const home = layouts.home(value);
  const leading = range(rank - 2);
  if (!leading.every((axis) => home[axis] === axis)) return { tensor: layouts.natural(value), transposed };
  const swapped = home[rank - 1] === rank - 2;
  return { tensor: layouts.in(value, home), transposed: swapped !== transposed };
}

const batchMatMul: Lowering = (context, value) => {
  const [a, b] = value.inputs as readonly [Value, Value];
  const { transposeA, transposeB, alpha } = value.attributes as {
    transposeA: boolean;
    transposeB: boolean;
    alpha?: number;
  };
  const left = operand(context, a, transposeA);
  const right = operand(context, b, transposeB);
  // A matrix that every row of the batch meets: one large product instead of many small ones.
  const { emitter } = context;
  if (b.shape.length === 2 && a.shape.length > 2 && !left.transposed) {
    const rows = emitter.reshape(left.tensor, [sizeOf(a.shape.slice(0, -1)), a.shape.at(-1)!]);
    const product = emitter.matMul(rows, right.tensor, {
      transposeB: right.transposed,
      ...(alpha === undefined ? {} : { alpha }),
    });
    context.layouts.place(value, emitter.reshape(product, value.shape));
    return;
  }
  const flags = {
    transposeA: left.transposed,
    transposeB: right.transposed,
    ...(alpha === undefined ? {} : { alpha }),
  };
  context.layouts.place(value, emitter.matMul(left.tensor, right.tensor, flags));
};

export const matMulLowerings: Readonly<Record<string, Lowering>> = { BatchMatMul: batchMatMul };
