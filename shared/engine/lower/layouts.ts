import { isUniform, range, sameShape, sizeOf, uniformOf } from '../graph/index.js';
import type { Shape, Value } from '../graph/index.js';
import type { Emitted, OnnxEmitter } from './emitter.js';

/** The physical order of a value's axes: physical axis i is logical axis `order[i]`. */
export type AxisOrder = readonly number[];

/** [N, C, H, W] of a logical NHWC value: what ONNX convolutions read. */
export const channelsFirst: AxisOrder = [0, 3, 1, 2];
/** [C, N, H, W]: rows of one channel over the whole batch are contiguous. */
export const channelMajor: AxisOrder = [3, 0, 1, 2];

interface Placement {
  /** The order in which the value was computed. */
  readonly home: AxisOrder;
  /** Every order in which it exists, by the order's text. */
  readonly tensors: Map<string, Emitted>;
}

/**
 * Knows in which axis order each value exists. tfjs code is NHWC; ONNX convolutions want NCHW. Instead of transposing
 * around each operation, a value keeps the order in which it was computed, elementwise operations and reductions take
 * over the order of their largest operand, and a Transpose of the program only renames axes. A conversion is emitted
 * when a consumer really wants another order, once per value and order.
 */
export class Layouts {
  readonly #emitter: OnnxEmitter;
  readonly #placements = new Map<Value, Placement>();

  constructor(emitter: OnnxEmitter) {
    this.#emitter = emitter;
  }

  isPlaced(value: Value): boolean {
    return this.#placements.has(value);
  }

  /** Records that `value` is `tensor`, whose axes are in the given order. */
  place(value: Value, tensor: Emitted, order: AxisOrder = range(value.shape.length)): void {
    const shape = order.map((axis) => value.shape[axis]!);
    const placed = this.#emitter.reshape(tensor, shape);
    this.#placements.set(value, { home: order, tensors: new Map([[order.join(), placed]]) });
  }

  /** `alias` is the same tensor as `value`. */
  placeAs(alias: Value, value: Value): void {
    this.#placements.set(alias, this.#placementOf(value));
  }

  #placementOf(value: Value): Placement {
    let placement = this.#placements.get(value);
    if (placement === undefined) {
      if (value.op !== 'Constant') throw new Error(`${value.op} ${value.id} is used before it is lowered`);
      this.place(value, this.#constant(value));
      placement = this.#placements.get(value)!;
    }
    return placement;
  }

  #constant(value: Value): Emitted {
    const scalar = this.#emitter.scalar(uniformOf(value), value.dtype);
    if (sizeOf(value.shape) === 1) return this.#emitter.reshape(scalar, value.shape);
    return this.#emitter.emit('Expand', [scalar, this.#emitter.int64s(value.shape)], value.shape);
  }

  home(value: Value): AxisOrder {
    return this.#placementOf(value).home;
  }

  /** The value in the order in which it was computed. */
  atHome(value: Value): Emitted {
    return this.in(value, this.home(value));
  }

  /** The value in the program's own order. */
  natural(value: Value): Emitted {
    return this.in(value, range(value.shape.length));
  }

  has(value: Value, order: AxisOrder): boolean {
    return this.#placementOf(value).tensors.has(order.join());
  }

  /** The value in the wanted order, converted if it does not exist so yet. */
  in(value: Value, order: AxisOrder): Emitted {
    const { home, tensors } = this.#placementOf(value);
    const key = order.join();
    const known = tensors.get(key);
    if (known !== undefined) return known;
    const shape = order.map((axis) => value.shape[axis]!);
    // Orders that differ in axes of length 1 only are the same bytes.
    const same = [...tensors].find(([other]) => sameOrder(value.shape, parseOrder(other), order));
    const converted =
      same === undefined
        ? this.#emitter.transpose(
            tensors.get(home.join())!,
            order.map((axis) => home.indexOf(axis)),
          )
        : this.#emitter.reshape(same[1], shape);
    tensors.set(key, converted);
    return converted;
  }

  /** The order in which an operation on several values of rank `rank` should be computed: that of the largest. */
  preferred(values: readonly Value[], rank: number): AxisOrder {
    let best: AxisOrder = range(rank);
    let bestWeight = 0;
    for (const value of values) {
      if (value.shape.length !== rank || value.op === 'Constant') continue;
      const order = this.home(value);
      // Inputs are cheap to convert (small, once); among equals an order other than the program's own wins.
      const weight =
        sizeOf(value.shape) * (order.every((axis, i) => axis === i) ? 1 : 1.5) * (value.op === 'Input' ? 0.5 : 1);
      if (weight > bestWeight) [best, bestWeight] = [order, weight];
    }
    return best;
  }

  /** `value` as an operand that broadcasts to rank `rank` in the given order. */
  operand(value: Value, order: AxisOrder): Emitted {
    if (isUniform(value)) return this.#emitter.scalar(uniformOf(value), value.dtype);
    const missing = order.length - value.shape.length;
    if (missing === 0) return this.in(value, order);
    if (sizeOf(value.shape) === 1) return this.#emitter.reshape(this.natural(value), []);
    const own = order.filter((axis) => axis >= missing).map((axis) => axis - missing);
    const shape = order.map((axis) => (axis < missing ? 1 : value.shape[axis - missing]!));
    const leading = shape.findIndex((dimension) => dimension !== 1);
    return this.#emitter.reshape(this.in(value, own), shape.slice(leading));
  }
}

const parseOrder = (text: string): number[] => (text === '' ? [] : text.split(',').map(Number));

function sameOrder(shape: Shape, a: AxisOrder, b: AxisOrder): boolean {
  const significant = (order: AxisOrder): number[] => order.filter((axis) => shape[axis] !== 1);
  return sameShape(significant(a), significant(b));
}
