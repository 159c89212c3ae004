import { range } from '../graph/index.js';
import type { Lowering } from './context.js';

/** Axes are kept (the simplified graph's normal form), so the order of x stays. */
const reduce =
  (op: string): Lowering =>
  ({ emitter, layouts }, value) => {
    const x = value.inputs[0]!;
    const order = layouts.home(x);
    const axes = (value.attributes['axes'] as number[]).map((axis) => order.indexOf(axis)).sort((a, b) => a - b);
    const shape = order.map((axis) => value.shape[axis]!);
    layouts.place(value, emitter.emit(op, [layouts.in(x, order), emitter.int64s(axes)], shape, { keepdims: 1 }), order);
  };

/**
 * Sums over the batch and all that lies before the rest, as gradients of biases and gains are. In training programs only: elsewhere rows
 * must have the same bits in batches of different sizes, so that one way has to do for all.
 */
const sum: Lowering = (context, value) => {
  const { emitter, layouts, options } = context;
  const x = value.inputs[0]!;
  const order = layouts.home(x);
  const axes = value.attributes['axes'] as number[];
  const leading = order.slice(0, axes.length).every((axis) => axes.includes(axis));
  if (!options.choiceByBatch || !leading) {
    reduce('ReduceSum')(context, value);
    return;
  }
  layouts.place(value, emitter.sumLeading(layouts.in(x, order), axes.length), order);
};

/** Softmax runs over contiguous elements: its axis goes last. */
const softmax =
  (op: string): Lowering =>
  ({ emitter, layouts }, value) => {
    const x = value.inputs[0]!;
    const axis = value.attributes['axis'] as number;
    const home = layouts.home(x);
    const order = home.at(-1) === axis ? home : [...home.filter((a) => a !== axis), axis];
    const shape = order.map((a) => value.shape[a]!);
    layouts.place(value, emitter.emit(op, [layouts.in(x, order)], shape, { axis: order.length - 1 }), order);
  };

const argReduce =
  (op: string): Lowering =>
  ({ emitter, layouts }, value) => {
    const attributes = { axis: value.attributes['axis'] as number, keepdims: 0 };
    const x = layouts.natural(value.inputs[0]!);
    const found = emitter.emit(op, [x], value.shape, attributes, { dtype: 'int64' });
    layouts.place(value, emitter.emit('Cast', [found], value.shape, { to: 6 }, { dtype: 'int32' }));
  };

const cumulativeSum: Lowering = ({ emitter, layouts }, value) => {
  const x = value.inputs[0]!;
  const { axis, exclusive, reverse } = value.attributes as { axis: number; exclusive: boolean; reverse: boolean };
  const position = emitter.scalar(axis, 'int32');
  const attributes = { exclusive: Number(exclusive), reverse: Number(reverse) };
  layouts.place(
    value,
    emitter.emit('CumSum', [layouts.natural(x), position], value.shape, attributes),
    range(x.shape.length),
  );
};

export const reductionLowerings: Readonly<Record<string, Lowering>> = {
  Sum: sum,
  Mean: reduce('ReduceMean'),
  Max: reduce('ReduceMax'),
  Min: reduce('ReduceMin'),
  Prod: reduce('ReduceProd'),
  Softmax: softmax('Softmax'),
  LogSoftmax: softmax('LogSoftmax'),
  ArgMax: argReduce('ArgMax'),
  ArgMin: argReduce('ArgMin'),
  Cumsum: cumulativeSum,
};
