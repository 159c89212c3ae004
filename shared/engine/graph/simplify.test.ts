import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { float } from '../lower/oracle.fixture.js';
import { trace } from '../trace/index.js';
import type { TracedGraph } from '../types.js';
import { GraphBuilder, permuteData, simplify, toDot } from './index.js';

const program = {
  name: 'sum of squares',
  weights: { w: float(3) },
  inputs: { x: float(2, 3), unused: float(1) },
  fn: (weights: Record<string, tf.Tensor>, inputs: Record<string, tf.Tensor>) => {
    const product = (): tf.Tensor => tf.mul(inputs['x']!, weights['w']!);
    tf.sin(inputs['x']!); // Nothing needs it.
    return { loss: tf.sum(tf.mul(product(), product())) };
  },
  gradientOf: 'loss',
};

describe('simplify', () => {
  it('merges equal computations and leaves out dead ones', () => {
    const ops = simplify(trace(program)).values.map((value) => value.op);
    expect(ops).not.toContain('Sin');
    expect(ops.filter((op) => op === 'Input')).toHaveLength(2);
    const graph = simplify(trace({ ...program, gradientOf: undefined as never }));
    expect(graph.values.filter(({ op }) => op === 'Multiply')).toHaveLength(2);
  });

  it('keeps uniform constants as one number, whatever their shape', () => {
    const graph = simplify(
      trace({ ...program, gradientOf: undefined as never, fn: (_w, { x }) => ({ y: tf.add(x!, tf.fill([2, 3], 7)) }) }),
    );
    const constant = graph.values.find(({ op }) => op === 'Constant')!;
    expect(constant.attributes).toEqual({ uniform: 7 });
    expect(constant.shape).toEqual([]);
  });

  it('refuses an unknown kernel, naming it and the shapes', () => {
    const graph: TracedGraph = {
      name: 'odd',
      values: [
        { id: 0, shape: [2, 3], dtype: 'float32', source: { kind: 'input', name: 'x' } },
        { id: 1, shape: [2], dtype: 'float32', source: { kind: 'node', node: 0, port: 0 } },
      ],
      nodes: [{ id: 0, op: 'FFT', inputs: [0], attributes: {}, outputs: [1] }],
      outputs: { y: 1 },
    };
    expect(() => simplify(graph)).toThrow(
      expect.objectContaining({ code: 'THAW_ENGINE_UNSUPPORTED_OP', message: 'No lowering for FFT([2, 3]) -> [2].' }),
    );
  });

  it('draws itself', () => {
    const dot = toDot(simplify(trace(program)));
    expect(dot).toMatch(/^digraph "sum of squares" \{/);
    expect(dot).toContain('weight w\\n[3] float32');
    expect(dot).toContain('=> loss');
    expect(dot).toMatch(/v\d+ -> v\d+;/);
  });
});

describe('GraphBuilder', () => {
  it('tells apart 0 and -0, and numbers that JSON has no words for', () => {
    const builder = new GraphBuilder([]);
    const numbers = [0, -0, NaN, Infinity, -Infinity].map((number) => builder.uniform(number));
    expect(new Set(numbers).size).toBe(5);
    expect(builder.uniform(NaN)).toBe(numbers[2]);
  });

  it('conses constants by their bytes', () => {
    const builder = new GraphBuilder([]);
    const one = builder.constant(Float32Array.of(0, 1), [2], 'float32');
    expect(builder.constant(Float32Array.of(0, 1), [2], 'float32')).toBe(one);
    expect(builder.constant(Float32Array.of(-0, 1), [2], 'float32')).not.toBe(one);
    expect(builder.constant(Float32Array.of(2, 2), [2], 'float32').attributes).toEqual({ uniform: 2 });
  });
});

describe('permuteData', () => {
  it('moves axes as tfjs does', () => {
    const data = Float32Array.from({ length: 24 }, (_, i) => i);
    const expected = tf.tidy(() => tf.transpose(tf.tensor(data, [2, 3, 4]), [2, 0, 1]).dataSync());
    expect(permuteData(data, [2, 3, 4], [2, 0, 1])).toEqual(expected);
  });
});
