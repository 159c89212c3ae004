import { encodeModel } from '../onnx/index.js';
import type { Value } from '../graph/index.js';
import type { PreparedWeight } from '../types.js';
import { assemble } from './assemble.js';
import { OnnxEmitter } from './emitter.js';
import type { Emitted } from './emitter.js';
import type { AxisOrder } from './layouts.js';
import { storedShape, storedWeight } from './weights.js';

/**
 * What is made of weights that never change before a program runs. Each has a small graph of its own, so that whoever loads a program
 * holds one weight at a time beside the results, and makes none that another program has had made.
 */
export class PreparedWeights {
  readonly #all = new Map<string, PreparedWeight>();

  get all(): readonly PreparedWeight[] {
    return [...this.#all.values()];
  }

  /**
   * @param what says, with weight and order, all that is done to it
   * @param make emits it, given the weight in that order
   */
  add(
    weight: Value,
    order: AxisOrder,
    what: string,
    make: (emitter: OnnxEmitter, weight: Emitted) => Emitted,
  ): Emitted {
    const stored = storedWeight(weight, order);
    const name = `prepared:${stored.name}:${order.join('')}:${what}`;
    let prepared = this.#all.get(name);
    if (prepared === undefined) {
      const emitter = new OnnxEmitter({ microsoftOps: true, hideShapes: false });
      emitter.scope = weight.origin;
      const input = { name: stored.name, shape: storedShape(stored), dtype: 'float32' } as const;
      const made = make(emitter, input);
      const { model } = assemble(name, emitter, [input], [{ name, tensor: made }], 'none');
      prepared = { name, shape: [...made.shape], weight: stored, onnx: encodeModel(model) };
      this.#all.set(name, prepared);
    }
    return { name, shape: prepared.shape, dtype: 'float32' };
  }
}
