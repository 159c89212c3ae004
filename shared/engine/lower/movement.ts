import { dataOf, inversePermutation, isUniform, range, sizeOf } from '../graph/index.js';
import type { Shape, Value } from '../graph/index.js';
import type { NodeAttributes } from '../types.js';
import type { Lowering, LoweringContext } from './context.js';
import type { Emitted } from './emitter.js';
import type { AxisOrder } from './layouts.js';

const attributesOf = <K extends keyof NodeAttributes>(value: Value): NodeAttributes[K] =>
  value.attributes as unknown as NodeAttributes[K];

/** An operation on x that works in whatever order x has: `emit` is given the tensor and logical-to-physical axes. */
const inHomeOrder =
  (
    emit: (
      context: LoweringContext,
      value: Value,
      x: Emitted,
      order: AxisOrder,
      physical: (axis: number) => number,
    ) => Emitted,
  ): Lowering =>
  (context, value) => {
    const x = value.inputs[0]!;
    const order = context.layouts.home(x);
    const positions = inversePermutation(order);
    const result = emit(context, value, context.layouts.in(x, order), order, (axis) => positions[axis]!);
    context.layouts.place(value, result, order);
  };

const constant: Lowering = (context, value) => {
  if (isUniform(value)) return; // Layouts makes it when a consumer cannot take a scalar.
  context.layouts.place(value, context.emitter.constant(value.id, dataOf(value), value.shape, value.dtype));
};

const expand: Lowering = ({ emitter, layouts }, value) => {
  const x = value.inputs[0]!;
  const order = x.shape.length === value.shape.length ? layouts.home(x) : range(value.shape.length);
  const shape = order.map((axis) => value.shape[axis]!);
  layouts.place(value, emitter.emit('Expand', [layouts.operand(x, order), emitter.int64s(shape)], shape), order);
};

/** A Transpose renames axes: nothing is moved. */
const transpose: Lowering = ({ layouts }, value) => {
  const x = value.inputs[0]!;
  const order = layouts.home(x);
  const renamed = inversePermutation(value.attributes['perm'] as number[]);
  layouts.place(
    value,
    layouts.in(x, order),
    order.map((axis) => renamed[axis]!),
  );
};

/** Splits two shapes into runs of axes with equal products: [axes of a, axes of b] each. */
function matchAxes(a: Shape, b: Shape): [number[], number[]][] {
  const groups: [number[], number[]][] = [];
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    const left = i < a.length ? [i] : [];
    const right = j < b.length ? [j] : [];
    let [p, q] = [a[i++] ?? 1, b[j++] ?? 1];
    while (p !== q) {
      if (p < q) {
        left.push(i);
        p *= a[i++]!;
      } else {
        right.push(j);
        q *= b[j++]!;
      }
    }
    groups.push([left, right]);
  }
  return groups;
}

/** Keeps the physical order when all axes that merge or come from one axis lie together in it. */
const reshape: Lowering = ({ emitter, layouts }, value) => {
  const x = value.inputs[0]!;
  const order = layouts.home(x);
  const position = inversePermutation(order);
  const groups = matchAxes(x.shape, value.shape);
  const significant = (axes: readonly number[]): number[] => axes.filter((axis) => x.shape[axis] !== 1);
  const together = groups.every(([axes]) =>
    significant(axes).every((axis, k, all) => {
      if (k === 0) return true;
      const [from, to] = [position[all[k - 1]!]!, position[axis]!];
      return to > from && order.slice(from + 1, to).every((between) => x.shape[between] === 1);
    }),
  );
  if (!together) {
    layouts.place(value, emitter.reshape(layouts.natural(x), value.shape));
    return;
  }
  const placeOf = ([axes]: readonly [number[], number[]]): number => {
    const axis = significant(axes)[0] ?? axes[0];
    return axis === undefined ? -1 : position[axis]!;
  };
  const sorted = groups
    .map((group, k) => ({ group, k }))
    .sort((a, b) => placeOf(a.group) - placeOf(b.group) || a.k - b.k);
  const newOrder = sorted.flatMap(({ group }) => group[1]);
  layouts.place(
    value,
    emitter.reshape(
      layouts.in(x, order),
      newOrder.map((axis) => value.shape[axis]!),
    ),
    newOrder,
  );
};

const slice = inHomeOrder(({ emitter }, value, x, _order, physical) => {
  const begin = value.attributes['begin'] as number[];
  const axes = range(value.shape.length).filter((axis) => value.shape[axis] !== value.inputs[0]!.shape[axis]);
  return emitter.slice(
    x,
    axes.map(physical),
    axes.map((axis) => begin[axis]!),
    axes.map((axis) => begin[axis]! + value.shape[axis]!),
  );
});

const stridedSlice = inHomeOrder(({ emitter }, value, x, order) => {
  const { begin, end, strides } = attributesOf<'StridedSlice'>(value);
  const bounds = [begin, end, range(order.length), strides].map((list, k) =>
    emitter.int64s(k === 2 ? list : order.map((axis) => list[axis]!)),
  );
  return emitter.emit(
    'Slice',
    [x, ...bounds],
    order.map((axis) => value.shape[axis]!),
  );
});

const reverse = inHomeOrder(({ emitter }, value, x, order, physical) => {
  const axes = (value.attributes['axes'] as number[]).map(physical);
  const all = (n: number): number[] => axes.map(() => n);
  const bounds = [all(-1), all(-(2 ** 31)), axes, all(-1)].map((list) => emitter.int64s(list));
  return emitter.emit(
    'Slice',
    [x, ...bounds],
    order.map((axis) => value.shape[axis]!),
  );
});

const pad = inHomeOrder(({ emitter }, value, x, order) => {
  const { paddings, constantValue } = attributesOf<'PadV2'>(value);
  return emitter.pad(
    x,
    order.map((axis) => paddings[axis]![0]),
    order.map((axis) => paddings[axis]![1]),
    constantValue,
  );
});

const tile = inHomeOrder(({ emitter }, value, x, order) => {
  const reps = value.attributes['reps'] as number[];
  return emitter.emit(
    'Tile',
    [x, emitter.int64s(order.map((axis) => reps[axis]!))],
    order.map((axis) => value.shape[axis]!),
  );
});

const concat: Lowering = ({ emitter, layouts }, value) => {
  const order = layouts.preferred(value.inputs, value.shape.length);
  const axis = order.indexOf(value.attributes['axis'] as number);
  layouts.place(
    value,
    emitter.concat(
      value.inputs.map((input) => layouts.in(input, order)),
      axis,
    ),
    order,
  );
};

const gather: Lowering = ({ emitter, layouts }, value) => {
  const [x, indices] = value.inputs as readonly [Value, Value];
  const axis = value.attributes['axis'] as number;
  if (indices.shape.length === 1) {
    // One axis becomes one axis: any order will do.
    const order = layouts.home(x);
    layouts.place(value, emitter.gather(layouts.in(x, order), layouts.natural(indices), order.indexOf(axis)), order);
    return;
  }
  layouts.place(value, emitter.gather(layouts.natural(x), layouts.natural(indices), axis));
};

const toInt64 = (context: LoweringContext, indices: Emitted): Emitted =>
  context.emitter.emit('Cast', [indices], indices.shape, { to: 7 }, { dtype: 'int64' });

const gatherNd: Lowering = (context, value) => {
  const [x, indices] = value.inputs.map((input) => context.layouts.natural(input));
  context.layouts.place(value, context.emitter.emit('GatherND', [x!, toInt64(context, indices!)], value.shape));
};

/** Adds rows into zeros; several rows for one place add up in their order. */
function scatterAdd(context: LoweringContext, value: Value, indices: Emitted, updates: Emitted): void {
  const { emitter, layouts } = context;
  const zeros = emitter.emit('Expand', [emitter.scalar(0, value.dtype), emitter.int64s(value.shape)], value.shape);
  const inputs = [zeros, toInt64(context, indices), updates];
  layouts.place(value, emitter.emit('ScatterND', inputs, value.shape, { reduction: 'add' }));
}

const scatterNd: Lowering = (context, value) => {
  const [indices, updates] = value.inputs.map((input) => context.layouts.natural(input));
  scatterAdd(context, value, indices!, updates!);
};

const unsortedSegmentSum: Lowering = (context, value) => {
  const [x, ids] = value.inputs.map((input) => context.layouts.natural(input));
  scatterAdd(context, value, context.emitter.reshape(ids!, [sizeOf(ids!.shape), 1]), x!);
};

export const movementLowerings: Readonly<Record<string, Lowering>> = {
  Constant: constant,
  Expand: expand,
  Transpose: transpose,
  Reshape: reshape,
  Slice: slice,
  StridedSlice: stridedSlice,
  Reverse: reverse,
  PadV2: pad,
  Tile: tile,
  Concat: concat,
  GatherV2: gather,
  GatherNd: gatherNd,
  ScatterNd: scatterNd,
  UnsortedSegmentSum: unsortedSegmentSum,
};
