import { onnxDataTypes } from '../onnx/index.js';
import type { OnnxAttribute } from '../onnx/index.js';
import { sameShape } from '../graph/index.js';
import type { Value } from '../graph/index.js';
import type { Lowering, LoweringContext } from './context.js';
import { microsoftDomain } from './emitter.js';
import type { Emitted } from './emitter.js';
import type { AxisOrder } from './layouts.js';

/** Operands of an elementwise operation in the order of its largest operand, and that order. */
function operands(context: LoweringContext, value: Value): { tensors: Emitted[]; order: AxisOrder } {
  const full = value.inputs.filter((input) => sameShape(input.shape, value.shape));
  const order = context.layouts.preferred(full.length > 0 ? full : value.inputs, value.shape.length);
  return { tensors: value.inputs.map((input) => context.layouts.operand(input, order)), order };
}

const physicalShape = (value: Value, order: AxisOrder): number[] => order.map((axis) => value.shape[axis]!);

/** An operation that ONNX has under this name. */
const same =
  (op: string, attributes: Readonly<Record<string, OnnxAttribute>> = {}, domain = ''): Lowering =>
  (context, value) => {
    const { tensors, order } = operands(context, value);
    const shape = physicalShape(value, order);
    context.layouts.place(
      value,
      context.emitter.emit(op, tensors, shape, attributes, { domain, dtype: value.dtype }),
      order,
    );
  };

/** An operation that is written in several ONNX operations of one shape. */
const composed =
  (
    compose: (
      emit: (op: string, inputs: Emitted[], dtype?: Emitted['dtype']) => Emitted,
      x: Emitted[],
      context: LoweringContext,
      value: Value,
    ) => Emitted,
  ): Lowering =>
  (context, value) => {
    const { tensors, order } = operands(context, value);
    const shape = physicalShape(value, order);
    const emit = (op: string, inputs: Emitted[], dtype: Emitted['dtype'] = value.dtype): Emitted =>
      context.emitter.emit(op, inputs, shape, {}, { dtype });
    context.layouts.place(value, compose(emit, tensors, context, value), order);
  };

/** x > 0 ? 1 : alpha, NaN where x is NaN, which is where x is not equal to itself: not every provider has IsNaN. */
const step = composed((emit, [x], { emitter }, value) => {
  const alpha = value.attributes['alpha'] as number;
  const positive = emit('Greater', [x!, emitter.scalar(0)], 'bool');
  return emit('Where', [
    emit('Equal', [x!, x!], 'bool'),
    emit('Where', [positive, emitter.scalar(1), emitter.scalar(alpha)]),
    x!,
  ]);
});

/** 0.5 + 0.5 * x, kept in [0, 1]: one pass where HardSigmoid may be used. */
const normalCdf: Lowering = (context, value) => {
  if (context.options.capabilities.microsoftOps) {
    same('HardSigmoid', { alpha: { float: 0.5 }, beta: { float: 0.5 } })(context, value);
    return;
  }
  composed((emit, [x], { emitter }) => emit('Add', [emit('Mul', [x!, emitter.scalar(0.5)]), emitter.scalar(0.5)]))(
    context,
    value,
  );
};

/** Exact GELU, x * Phi(x). */
const gelu: Lowering = (context, value) => {
  if (context.options.capabilities.microsoftOps) {
    same('Gelu', {}, microsoftDomain)(context, value);
    return;
  }
  composed((emit, [x], { emitter }) => {
    const erf = emit('Erf', [emit('Mul', [x!, emitter.scalar(Math.fround(Math.SQRT1_2))])]);
    const cdf = emit('Add', [emit('Mul', [erf, emitter.scalar(0.5)]), emitter.scalar(0.5)]);
    return emit('Mul', [x!, cdf]);
  })(context, value);
};

const cast: Lowering = (context, value) => same('Cast', { to: onnxDataTypes[value.dtype] })(context, value);

const leakyRelu: Lowering = (context, value) =>
  same('LeakyRelu', { alpha: { float: value.attributes['alpha'] as number } })(context, value);

export const elementwiseLowerings: Readonly<Record<string, Lowering>> = {
  ...Object.fromEntries(
    ['Abs', 'Ceil', 'Cos', 'Elu', 'Erf', 'Exp', 'Floor', 'Log', 'Reciprocal', 'Relu', 'Round', 'Selu', 'Sigmoid', 'Sign', 'Sin', 'Softplus',
      'Sqrt', 'Tanh', 'Add', 'Sub', 'Pow', 'Greater', 'Less', 'Equal', 'Mod'].map((op) => [op, same(op)]),
  ), // prettier-ignore
  Multiply: same('Mul'),
  RealDiv: same('Div'),
  Maximum: same('Max'),
  Minimum: same('Min'),
  GreaterEqual: same('GreaterOrEqual'),
  LessEqual: same('LessOrEqual'),
  LogicalAnd: same('And'),
  LogicalOr: same('Or'),
  LogicalNot: same('Not'),
  NotEqual: composed((emit, inputs) => emit('Not', [emit('Equal', inputs, 'bool')], 'bool')),
  Select: same('Where'),
  Step: step,
  NormalCdf: normalCdf,
  Gelu: gelu,
  Cast: cast,
  LeakyRelu: leakyRelu,
};
