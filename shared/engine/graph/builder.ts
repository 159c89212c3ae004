import { broadcastShape } from './shape.js';
import type { Shape } from './shape.js';
import { rules as allRules } from './rules/index.js';
import type { Rule } from './rules/rule.js';
import type { Segment } from '../types.js';
import type { Attributes, Candidate, ConstantData, DataType, Value } from './value.js';

/**
 * Makes values. Every operation passes through `make`, which first offers it to the simplification rules and then
 * looks for an equal value made before (hash-consing). So a graph built through one builder is simplified and free
 * of common subexpressions by construction; dead values are those that no output reaches.
 */
export class GraphBuilder {
  readonly values: Value[] = [];
  /** How often each rule rewrote something. */
  readonly ruleHits = new Map<string, number>();
  /** The tfjs kernel being replayed; becomes the `origin` of values made now. */
  origin = '';
  /** The part of the network to which values made now belong. */
  segment: Segment | undefined;
  readonly #consed = new Map<string, Value>();
  readonly #rulesByOp = new Map<string, Rule[]>();

  constructor(rules: readonly Rule[] = allRules) {
    for (const rule of rules) {
      for (const op of rule.ops) {
        const list = this.#rulesByOp.get(op);
        if (list === undefined) this.#rulesByOp.set(op, [rule]);
        else list.push(rule);
      }
    }
  }

  /** The value of an operation after simplification. */
  make(candidate: Candidate): Value {
    for (const rule of this.#rulesByOp.get(candidate.op) ?? []) {
      const value = rule.apply(this, candidate);
      if (value === undefined) continue;
      this.ruleHits.set(rule.name, (this.ruleHits.get(rule.name) ?? 0) + 1);
      return value;
    }
    return this.cons(candidate);
  }

  /** The value of an operation as it stands: for rules whose result no rule may look at again. */
  cons(candidate: Candidate): Value {
    const key = keyOf(candidate);
    const known = this.#consed.get(key);
    if (known !== undefined) return known;
    const { segment } = this;
    const value: Value = { id: this.values.length, ...candidate, origin: this.origin || candidate.op, segment };
    this.values.push(value);
    this.#consed.set(key, value);
    return value;
  }

  input(name: string, role: 'weight' | 'input', shape: Shape, dtype: DataType): Value {
    return this.make({ op: 'Input', inputs: [], attributes: { name, role }, shape, dtype });
  }

  uniform(value: number, shape: Shape = [], dtype: DataType = 'float32'): Value {
    const uniform = dtype === 'float32' ? Math.fround(value) : value;
    // JSON has no NaN, Infinity or -0: keep them apart by name.
    const attributes =
      Number.isFinite(uniform) && !Object.is(uniform, -0)
        ? { uniform }
        : { uniform, as: `${Object.is(uniform, -0) ? '-0' : uniform}` };
    return this.make({ op: 'Constant', inputs: [], attributes, shape, dtype });
  }

  constant(data: ConstantData, shape: Shape, dtype: DataType): Value {
    const first = data[0];
    if (first !== undefined && data.every((element) => Object.is(element, first)))
      return this.uniform(first, shape, dtype);
    return this.make({ op: 'Constant', inputs: [], attributes: { data }, shape, dtype });
  }

  /** A unary elementwise operation. */
  unary(op: string, x: Value, attributes: Attributes = {}): Value {
    return this.make({ op, inputs: [x], attributes, shape: x.shape, dtype: x.dtype });
  }

  /** A binary elementwise operation with broadcasting. */
  binary(op: string, a: Value, b: Value, dtype: DataType = a.dtype): Value {
    return this.make({ op, inputs: [a, b], attributes: {}, shape: broadcastShape(a.shape, b.shape), dtype });
  }

  multiply(a: Value, b: Value): Value {
    return this.binary('Multiply', a, b);
  }

  /** x times a number. */
  scale(x: Value, factor: number): Value {
    return this.multiply(x, this.uniform(factor));
  }

  /** Broadcasts without materialising: elementwise consumers look through it. */
  expand(x: Value, shape: Shape): Value {
    return this.make({ op: 'Expand', inputs: [x], attributes: {}, shape, dtype: x.dtype });
  }

  reshape(x: Value, shape: Shape): Value {
    return this.make({ op: 'Reshape', inputs: [x], attributes: {}, shape, dtype: x.dtype });
  }

  transpose(x: Value, permutation: readonly number[]): Value {
    const shape = permutation.map((axis) => x.shape[axis]!);
    return this.make({ op: 'Transpose', inputs: [x], attributes: { perm: [...permutation] }, shape, dtype: x.dtype });
  }

  reduce(op: string, x: Value, axes: readonly number[], keepDims: boolean): Value {
    const shape = keepDims
      ? x.shape.map((dimension, axis) => (axes.includes(axis) ? 1 : dimension))
      : x.shape.filter((_, axis) => !axes.includes(axis));
    return this.make({ op, inputs: [x], attributes: { axes: [...axes], keepDims }, shape, dtype: x.dtype });
  }

  slice(x: Value, begin: readonly number[], shape: Shape): Value {
    return this.make({ op: 'Slice', inputs: [x], attributes: { begin: [...begin] }, shape, dtype: x.dtype });
  }

  concat(parts: readonly Value[], axis: number): Value {
    const first = parts[0]!;
    const length = parts.reduce((sum, part) => sum + part.shape[axis]!, 0);
    const shape = first.shape.map((dimension, i) => (i === axis ? length : dimension));
    return this.make({ op: 'Concat', inputs: parts, attributes: { axis }, shape, dtype: first.dtype });
  }

  cast(x: Value, dtype: DataType): Value {
    return this.make({ op: 'Cast', inputs: [x], attributes: { dtype }, shape: x.shape, dtype });
  }
}

function keyOf(candidate: Candidate): string {
  const { op, inputs, attributes, shape, dtype } = candidate;
  const data = attributes['data'] as ConstantData | undefined;
  const written =
    data === undefined
      ? JSON.stringify(attributes)
      : Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('base64');
  return `${op}|${inputs.map((value) => value.id).join()}|${written}|${shape.join()}|${dtype}`;
}

/** Values that the outputs need, inputs before users, in the order they were made. Everything else is dead. */
export function reachable(outputs: Iterable<Value>): Value[] {
  const found = new Set<Value>();
  const pending = [...outputs];
  for (let value = pending.pop(); value !== undefined; value = pending.pop()) {
    if (found.has(value)) continue;
    found.add(value);
    pending.push(...value.inputs);
  }
  return [...found].sort((a, b) => a.id - b.id);
}
