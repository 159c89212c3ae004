import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { float, runEager, runLowered, sampleValues, worstError } from '../../lower/oracle.fixture.js';
import { trace } from '../../trace/index.js';
import type { ProgramDefinition } from '../../types.js';
import { rules, simplify } from '../index.js';
import type { SimplifiedGraph } from '../index.js';

type T = tf.Tensor;
interface Case {
  readonly rule: string;
  readonly fn: (x: T, y: T, v: T) => T;
  /** Operations left besides inputs and constants, sorted. */
  readonly left: readonly string[];
}

/** A function of whole numbers, of x times 9. */
const integers = (x: T, fn: (i: T) => T): T => tf.cast(fn(tf.cast(tf.mul(x, 9), 'int32')), 'float32');
const number = (value: number): T => tf.fill([6], value);
/** Every operation on numbers that is folded. */
const foldable: readonly (readonly [string, () => T])[] = [
  ['Add', () => tf.add(number(3), number(-5))],
  ['Sub', () => tf.sub(number(3), number(-5))],
  ['Multiply', () => tf.mul(number(3), number(-5))],
  ['RealDiv', () => tf.div(number(3), number(-5))],
  ['Maximum', () => tf.maximum(number(3), number(-5))],
  ['Minimum', () => tf.minimum(number(3), number(-5))],
  ['Abs', () => tf.abs(number(-1.5))],
  ['Floor', () => tf.floor(number(-1.5))],
  ['Ceil', () => tf.ceil(number(-1.5))],
  ['Relu', () => tf.add(tf.relu(number(-1.5)), number(2))],
  ['Sign', () => tf.sign(number(-1.5))],
  ['Sqrt', () => tf.sqrt(number(3))],
  ['Reciprocal', () => tf.reciprocal(number(3))],
];

// x and y are [4, 6], v is [6].
const cases: readonly Case[] = [
  { rule: 'negation', fn: (x) => tf.neg(x), left: ['Multiply'] },
  {
    rule: 'negation',
    fn: (x) => tf.cast(tf.neg(tf.cast(tf.mul(x, 9), 'int32')), 'float32'),
    left: ['Cast', 'Cast', 'Multiply', 'Multiply'],
  },
  { rule: 'square', fn: (x) => tf.square(x), left: ['Multiply'] },
  { rule: 'reciprocal-square-root', fn: (x) => tf.rsqrt(tf.abs(x)), left: ['Abs', 'Reciprocal', 'Sqrt'] },
  { rule: 'squared-difference', fn: (x, y) => tf.squaredDifference(x, y), left: ['Multiply', 'Sub'] },
  { rule: 'fold-cast', fn: (x) => tf.add(x, tf.cast(tf.fill([6], 3, 'int32'), 'float32')), left: ['Add'] },
  { rule: 'fold-cast', fn: (x) => tf.add(x, tf.cast(tf.cast(tf.fill([6], -2.7), 'int32'), 'float32')), left: ['Add'] },
  { rule: 'fold-cast', fn: (x) => tf.add(x, tf.cast(tf.cast(tf.fill([6], 2), 'bool'), 'float32')), left: ['Add'] },
  { rule: 'fold-cast', fn: (x) => tf.cast(tf.isFinite(x), 'float32'), left: ['Abs', 'Cast', 'Less'] },
  { rule: 'step-to-sign', fn: (x) => tf.grad((z: T) => tf.sum(tf.abs(z)))(x), left: ['Sign'] },
  ...foldable.map(([, number]): Case => ({ rule: 'fold-uniform', fn: (x) => tf.add(x, number()), left: ['Add'] })),
  {
    rule: 'lazy-broadcast',
    fn: (_x, _y, v) => tf.exp(tf.tile(tf.reshape(v, [1, 6]), [4, 1])),
    left: ['Exp', 'Expand', 'Reshape'],
  },
  { rule: 'special-power', fn: (x) => tf.pow(tf.abs(x), 0.5), left: ['Abs', 'Sqrt'] },
  { rule: 'special-power', fn: (x) => tf.pow(x, 1), left: [] },
  { rule: 'special-power', fn: (x) => tf.pow(tf.abs(x), 1.5), left: ['Abs', 'Multiply', 'Sqrt'] },
  { rule: 'special-power', fn: (x) => tf.pow(x, 2), left: ['Multiply'] },
  { rule: 'special-power', fn: (x) => tf.pow(tf.add(tf.abs(x), 1), -1), left: ['Abs', 'Add', 'Reciprocal'] },
  { rule: 'fold-select', fn: (x, y) => tf.where(tf.greater(y, 0), x, x), left: [] },
  { rule: 'fold-select', fn: (x, y) => tf.where(tf.fill([4, 6], 1, 'bool'), x, y), left: [] },
  { rule: 'fold-select', fn: (x, y) => tf.where(tf.zeros([4, 6], 'bool'), x, y), left: [] },
  { rule: 'commutative-order', fn: (x, y) => tf.mul(tf.add(x, y), tf.add(y, x)), left: ['Add', 'Multiply'] },
  { rule: 'multiply-by-one', fn: (x) => tf.add(tf.mul(x, 1), x), left: ['Add'] },
  {
    rule: 'multiply-by-one',
    fn: (x) => integers(x, (i) => tf.div(i, tf.scalar(1, 'int32'))),
    left: ['Cast', 'Cast', 'Mod', 'Multiply', 'Sub'],
  },
  { rule: 'multiply-by-zero', fn: (x, y) => tf.add(tf.mul(x, 0), y), left: [] },
  { rule: 'add-zero', fn: (x) => tf.exp(tf.add(x, 0)), left: ['Exp'] },
  { rule: 'add-zero', fn: (x) => tf.exp(tf.sub(x, 0)), left: ['Exp'] },
  { rule: 'divide-by-number', fn: (x) => tf.div(x, 3), left: ['Multiply'] },
  { rule: 'merge-scales', fn: (x) => tf.mul(tf.mul(x, 2), 0.5), left: [] },
  { rule: 'merge-scales', fn: (x) => tf.mul(tf.mul(x, 3), 5), left: ['Multiply'] },
  { rule: 'hoist-scale', fn: (x, _y, v) => tf.mul(tf.mul(x, 3), v), left: ['Multiply', 'Multiply'] },
  { rule: 'hoist-scale', fn: (x, _y, v) => tf.mul(x, tf.mul(v, 3)), left: ['Multiply', 'Multiply'] },
  { rule: 'hoist-scale', fn: (x, y) => tf.mul(tf.mul(x, 3), tf.mul(y, 5)), left: ['Multiply', 'Multiply'] },
  { rule: 'hoist-scale', fn: (x, y) => tf.mul(tf.mul(x, 4), tf.mul(y, 0.25)), left: ['Multiply'] },
  { rule: 'add-scaled', fn: (x, y) => tf.add(tf.mul(x, 3), tf.mul(y, 3)), left: ['Add', 'Multiply'] },
  { rule: 'add-scaled', fn: (x, y) => tf.add(x, tf.neg(y)), left: ['Sub'] },
  {
    rule: 'add-scaled',
    fn: (x, y) => {
      const older = tf.neg(x);
      return tf.add(older, tf.exp(y));
    },
    left: ['Exp', 'Sub'],
  },
  { rule: 'subtract-negated', fn: (x, y) => tf.sub(x, tf.neg(y)), left: ['Add'] },
  {
    rule: 'normal-cdf',
    fn: (x) => tf.mul(tf.add(tf.erf(x), 1), 0.5),
    left: ['Erf', 'NormalCdf'],
  },
  {
    rule: 'gelu',
    fn: (x) => tf.mul(tf.mul(x, 0.5), tf.add(tf.erf(tf.mul(x, Math.SQRT1_2)), 1)),
    left: ['Gelu'],
  },
  { rule: 'reduce-uniform', fn: (x) => tf.mul(x, tf.mean(tf.ones([7, 3]))), left: [] },
  { rule: 'reduce-uniform', fn: (x) => tf.add(x, tf.mean(tf.fill([7, 3], 2))), left: ['Add'] },
  { rule: 'reduce-uniform', fn: (x) => tf.add(x, tf.sum(tf.fill([7, 6], 2), 0)), left: ['Add'] },
  { rule: 'reduce-uniform', fn: (x) => tf.add(x, tf.max(tf.fill([7, 6], -2), 0)), left: ['Add'] },
  { rule: 'reduce-uniform', fn: (x) => tf.add(x, tf.min(tf.fill([7, 6], -2), 0)), left: ['Add'] },
  { rule: 'reduce-scaled', fn: (x) => tf.sum(tf.mul(x, 2), 1), left: ['Multiply', 'Reshape', 'Sum'] },
  { rule: 'reduce-scaled', fn: (x) => tf.mean(tf.mul(x, -2), 0, true), left: ['Mean', 'Multiply'] },
  {
    rule: 'sum-of-expand',
    fn: (_x, _y, v) => tf.sum(tf.tile(tf.reshape(v, [1, 6]), [4, 1])),
    left: ['Multiply', 'Reshape', 'Reshape', 'Sum'],
  },
  {
    rule: 'sum-of-expand',
    fn: (_x, _y, v) => tf.sum(tf.tile(tf.reshape(v, [1, 6]), [4, 1]), 0),
    left: ['Multiply'],
  },
  {
    rule: 'normal-axes',
    fn: (_x, _y, v) => tf.max(tf.reshape(v, [6, 1]), [0, 1]),
    left: ['Max', 'Reshape', 'Reshape'],
  },
  { rule: 'move-uniform', fn: (x) => tf.add(x, tf.reshape(tf.fill([2, 3], 5), [6])), left: ['Add'] },
  { rule: 'move-nothing', fn: (x) => tf.exp(tf.reverse(tf.reshape(x, [1, 24]), [0])), left: ['Exp', 'Reshape'] },
  {
    rule: 'merge-moves',
    fn: (x) => tf.transpose(tf.transpose(tf.reshape(tf.reshape(x, [24]), [2, 3, 4]), [2, 0, 1]), [0, 2, 1]),
    left: ['Reshape', 'Transpose'],
  },
  {
    rule: 'merge-moves',
    fn: (_x, _y, v) => tf.tile(tf.tile(tf.reshape(v, [1, 1, 6]), [1, 4, 1]), [3, 1, 1]),
    left: ['Expand', 'Reshape'],
  },
  { rule: 'move-scaled', fn: (x) => tf.matMul(tf.reshape(tf.mul(x, 3), [6, 4]), x), left: ['BatchMatMul', 'Reshape'] },
  {
    rule: 'move-scaled',
    fn: (x, y) => tf.matMul(tf.transpose(tf.mul(x, 0.25)), y),
    left: ['BatchMatMul', 'Transpose'],
  },
  {
    rule: 'tile-to-expand',
    fn: (x) => tf.mul(tf.tile(tf.slice(x, [0, 0], [1, 6]), [4, 1]), x),
    left: ['Multiply', 'Slice'],
  },
  { rule: 'slice-of-slice', fn: (x) => tf.slice(tf.slice(x, [1, 1], [3, 4]), [1, 0], [2, 3]), left: ['Slice'] },
  { rule: 'slice-of-concat', fn: (x, y) => tf.exp(tf.slice(tf.concat([x, y], 0), [4, 0], [4, 6])), left: ['Exp'] },
  { rule: 'slice-of-concat', fn: (x, y) => tf.exp(tf.slice(tf.concat([x, y], 1), [0, 6], [4, 6])), left: ['Exp'] },
  { rule: 'concat-of-one', fn: (x) => tf.exp(tf.concat([x], 0)), left: [] },
  { rule: 'matmul-scaled', fn: (x, y) => tf.matMul(tf.mul(x, 0.5), y, false, true), left: ['BatchMatMul'] },
  { rule: 'matmul-scaled', fn: (x, y) => tf.matMul(tf.mul(x, 0.5), tf.mul(y, 3), true), left: ['BatchMatMul'] },
];

/** What looks like a case of a rule and is none. */
const kept: readonly (Omit<Case, 'rule'> & { readonly what: string })[] = [
  {
    what: 'a quotient of whole numbers',
    fn: (x) => integers(x, (i) => tf.div(i, tf.scalar(3, 'int32'))),
    left: ['Cast', 'Cast', 'Mod', 'Multiply', 'RealDiv', 'Sub'],
  },
  {
    what: 'arithmetic of whole numbers',
    fn: (x) => integers(x, (i) => tf.add(i, tf.add(tf.scalar(2, 'int32'), tf.scalar(1, 'int32')))),
    left: ['Add', 'Add', 'Cast', 'Cast', 'Multiply'],
  },
  {
    what: 'a division by zero',
    fn: (x) => tf.sign(tf.div(tf.add(tf.abs(x), 1), 0)),
    left: ['Abs', 'Add', 'RealDiv', 'Sign'],
  },
  { what: 'a difference of a scaled value', fn: (x, y) => tf.sub(x, tf.mul(y, -3)), left: ['Multiply', 'Sub'] },
  {
    what: 'a sum of values with other factors',
    fn: (x, y) => tf.add(tf.mul(x, 3), tf.mul(y, 5)),
    left: ['Add', 'Multiply', 'Multiply'],
  },
  { what: 'a power of 3', fn: (x) => tf.pow(tf.abs(x), 3), left: ['Abs', 'Pow'] },
  { what: 'a largest value of scaled ones', fn: (x) => tf.max(tf.mul(x, -2), 1, true), left: ['Max', 'Multiply'] },
  {
    what: 'a product over a number',
    fn: (x) => tf.add(x, tf.prod(tf.fill([3, 6], 2), 0)),
    left: ['Add', 'Prod', 'Reshape'],
  },
  { what: 'a sum of 2 and an error function', fn: (x) => tf.add(tf.erf(x), 2), left: ['Add', 'Erf'] },
  {
    what: 'the transpose of a square',
    fn: (x) => tf.transpose(tf.slice(x, [0, 0], [4, 4])),
    left: ['Slice', 'Transpose'],
  },
  { what: 'a value the other way round', fn: (x) => tf.reverse(x, 1), left: ['Reverse'] },
  { what: 'repetition of several rows', fn: (x) => tf.tile(x, [2, 1]), left: ['Tile'] },
  {
    what: 'a slice across two parts',
    fn: (x, y) => tf.slice(tf.concat([x, y], 1), [0, 3], [4, 6]),
    left: ['Concat', 'Slice'],
  },
  {
    what: 'a slice within a part',
    fn: (x, y) => tf.slice(tf.concat([x, y], 1), [0, 6], [4, 5]),
    left: ['Concat', 'Slice'],
  },
  { what: 'a padded number', fn: (x) => tf.add(x, tf.pad(tf.fill([4], 2), [[1, 1]])), left: ['Add', 'PadV2'] },
  {
    what: 'a sum over an axis that is not repeated',
    fn: (_x, _y, v) => tf.sum(tf.tile(tf.reshape(v, [1, 1, 6]), [1, 4, 1]), 0),
    left: ['Expand', 'Reshape', 'Reshape'],
  },
  {
    what: 'a sum of repeated whole numbers',
    fn: (x) => integers(x, (i) => tf.sum(tf.tile(tf.reshape(i, [1, 24]), [3, 1]), 0)),
    left: ['Cast', 'Cast', 'Expand', 'Multiply', 'Reshape', 'Reshape', 'Sum'],
  },
  {
    what: 'branches that differ',
    fn: (x, y) => tf.where(tf.greater(x, 0), tf.exp(x), tf.exp(y)),
    left: ['Exp', 'Exp', 'Greater', 'Select'],
  },
];

const definition = (fn: Case['fn']): ProgramDefinition => ({
  name: 'rule',
  weights: {},
  inputs: { x: float(4, 6), y: float(4, 6), v: float(6) },
  fn: (_weights, { x, y, v }) => ({ result: fn(x!, y!, v!) }),
});

const operations = (graph: SimplifiedGraph): string[] =>
  graph.values
    .map((value) => value.op)
    .filter((op) => op !== 'Input' && op !== 'Constant')
    .sort();

describe('simplification rules', () => {
  it.each(cases.filter(({ rule }) => rule !== 'concat-of-one'))(
    '$rule applies, leaves $left, and keeps the values of eager tfjs',
    async ({ rule, fn, left }) => {
      const program = definition(fn);
      const graph = simplify(trace(program));
      expect(graph.ruleHits.get(rule)).toBeGreaterThan(0);
      expect(operations(graph)).toEqual(left);
      const inputs = sampleValues(program.inputs);
      expect(worstError(await runLowered(program, {}, inputs), await runEager(program, {}, inputs))).toBeLessThan(2e-6);
    },
  );

  it.each(kept)('leave $what alone', async ({ fn, left }) => {
    const program = definition(fn);
    expect(operations(simplify(trace(program)))).toEqual(left);
    const inputs = sampleValues(program.inputs);
    expect(worstError(await runLowered(program, {}, inputs), await runEager(program, {}, inputs))).toBeLessThan(2e-6);
  });

  it('has a case for every rule', () => {
    expect([...new Set(cases.map(({ rule }) => rule))].sort()).toEqual(rules.map(({ name }) => name).sort());
  });

  it('takes a concatenation of one part as that part', () => {
    const values = [
      { id: 0, shape: [2], dtype: 'float32', source: { kind: 'input', name: 'x' } },
      { id: 1, shape: [2], dtype: 'float32', source: { kind: 'node', node: 0, port: 0 } },
    ] as const;
    const nodes = [{ id: 0, op: 'Concat', inputs: [0], attributes: { axis: 0 }, outputs: [1] }];
    const graph = simplify({ name: 'one', values, nodes, outputs: { result: 1 } });
    expect(graph.ruleHits.get('concat-of-one')).toBe(1);
    expect(graph.outputs['result']!.op).toBe('Input');
  });

  it('takes a factor to the smaller operand of a product, wherever it was', () => {
    for (const fn of [(x: T, v: T) => tf.mul(tf.mul(x, 3), v), (x: T, v: T) => tf.mul(x, tf.mul(v, 3))]) {
      const product = simplify(trace(definition((x, _y, v) => fn(x, v)))).outputs['result']!;
      expect(product.inputs.map(({ op, shape }) => [op, ...shape])).toEqual([
        ['Input', 4, 6],
        ['Multiply', 6],
      ]);
    }
  });

  it('keeps a factor that two full-size operands share outside of their product', () => {
    const graph = simplify(trace(definition((x, y) => tf.mul(tf.mul(x, 3), y))));
    expect(graph.outputs['result']!.inputs[1]!.attributes['uniform']).toBe(3);
  });

  it('does not fold what the runtime computes in its own way', () => {
    const graph = simplify(trace(definition((x) => tf.mul(x, tf.exp(tf.fill([6], 0.3))))));
    expect(operations(graph)).toEqual(['Exp', 'Multiply']);
  });

  it('takes only the distribution function of x itself times x as its GELU', async () => {
    const program = definition((x, y) => tf.mul(tf.mul(y, 0.5), tf.add(tf.erf(tf.mul(x, Math.SQRT1_2)), 1)));
    expect(operations(simplify(trace(program)))).toEqual(['Erf', 'Multiply', 'Multiply', 'NormalCdf']);
    const halved = definition((x) => tf.mul(x, tf.add(tf.erf(tf.mul(x, 0.5)), 1)));
    expect(simplify(trace(halved)).ruleHits.get('gelu')).toBeUndefined();
  });

  it('keeps step functions other than that of the absolute value', async () => {
    const program = definition((x) => tf.step(x, 0.25));
    expect(operations(simplify(trace(program)))).toEqual(['Step']);
    const inputs = { ...sampleValues(program.inputs), x: Float32Array.from({ length: 24 }, (_, i) => i - 12) };
    expect(worstError(await runLowered(program, {}, inputs), await runEager(program, {}, inputs))).toBe(0);
  });
});
