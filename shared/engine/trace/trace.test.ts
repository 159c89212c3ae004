import * as tf from '@tensorflow/tfjs-core';
import { afterEach, describe, expect, it } from 'vitest';
import type { ProgramDefinition, TracedGraph } from '../types.js';
import { supportedKernels, trace } from './index.js';

const f32 = (...shape: number[]) => ({ shape, dtype: 'float32' as const });

function program(fn: ProgramDefinition['fn'], extra: Partial<ProgramDefinition> = {}): ProgramDefinition {
  return { name: 'test', weights: { w: f32(3, 4) }, inputs: { x: f32(2, 3) }, fn, ...extra };
}

const ops = (graph: TracedGraph): string[] => graph.nodes.map((node) => node.op);
const errorOf = (body: () => unknown): { code?: string; message: string } => {
  try {
    body();
  } catch (error) {
    return error as { code?: string; message: string };
  }
  throw new Error('nothing was thrown');
};

describe('trace', () => {
  afterEach(() => expect(tf.memory().numTensors).toBe(0));

  it('records shapes, types, order and names, without computing', () => {
    const graph = trace(program(({ w }, { x }) => ({ y: tf.relu(tf.matMul(x!, w!)) })));
    expect(ops(graph)).toEqual(['BatchMatMul', 'Reshape', 'Reshape', 'Relu'].filter((op) => ops(graph).includes(op)));
    const y = graph.values[graph.outputs['y']!]!;
    expect(y).toMatchObject({ shape: [2, 4], dtype: 'float32' });
    expect(graph.values.filter((value) => value.source.kind === 'weight').map((value) => value.source)).toEqual([
      { kind: 'weight', name: 'w' },
    ]);
    for (const node of graph.nodes) for (const input of node.inputs) expect(input).toBeLessThan(node.outputs[0]!);
  });

  it('records tfjs gradients, and zeros for a weight that the loss does not reach', () => {
    const graph = trace(
      program(({ w }, { x }) => ({ loss: tf.mean(tf.square(tf.matMul(x!, w!))) }), {
        weights: { w: f32(3, 4), unused: f32(5) },
        gradientOf: 'loss',
      }),
    );
    expect(Object.keys(graph.outputs)).toEqual(['loss', 'grad/w', 'grad/unused']);
    expect(graph.values[graph.outputs['grad/w']!]!.shape).toEqual([3, 4]);
    expect(graph.values[graph.outputs['grad/unused']!]).toMatchObject({
      shape: [5],
      source: { kind: 'constant', data: Float32Array.of(0) },
    });
  });

  it('keeps the full-size constants in the gradients of Sum and Mean as one number', () => {
    const graph = trace(program(({ w }) => ({ loss: tf.mean(tf.sum(w!, 0)) }), { gradientOf: 'loss' }));
    const sizes = graph.values.flatMap((value) => (value.source.kind === 'constant' ? [value.source.data.length] : []));
    expect(sizes.length).toBeGreaterThan(0);
    expect(Math.max(...sizes)).toBe(1);
  });

  it('keeps a constant that is not uniform, with negative zero told from zero', () => {
    const graph = trace(program((_, { x }) => ({ y: tf.mul(x!, tf.tensor([0, -0, 0])) })));
    const constants = graph.values.flatMap((value) =>
      value.source.kind === 'constant' ? [[...value.source.data]] : [],
    );
    expect(constants).toContainEqual([0, -0, 0]);
  });

  it('names the kernel that it does not know', () => {
    const error = errorOf(() => trace(program((_, { x }) => ({ y: tf.asinh(x!) }))));
    expect(error).toMatchObject({ code: 'THAW_ENGINE_UNKNOWN_KERNEL', details: { kernel: 'Asinh', program: 'test' } });
  });

  it('names the kernel that only the gradient needs, and leaves no tape behind', () => {
    const definition = program(({ w }) => ({ loss: tf.sum(tf.prod(w!, 0)) }), { gradientOf: 'loss' });
    expect(errorOf(() => trace(definition)).code).toBe('THAW_ENGINE_UNKNOWN_KERNEL');
    expect(tf.memory().numTensors).toBe(0);
    expect(ops(trace(program(({ w }) => ({ y: tf.exp(w!) }))))).toEqual(['Exp']);
  });

  it('says which program it was in which shapes do not fit, or whose function fails', () => {
    const inputs = { image: f32(1, 4, 4, 3), wrong: f32(3, 3, 2, 4) };
    const convolution = program(
      (_, { image, wrong }) => ({ y: tf.conv2d(image as tf.Tensor4D, wrong as tf.Tensor4D, 1, 'same') }),
      { inputs },
    );
    const error = errorOf(() => trace(convolution));
    expect(error.code).toBe('THAW_ENGINE_PROGRAM_INVALID');
    expect(error.message).toMatch(/^program 'test': .*depth of input \(3\) must match input depth for filter 2/);
    const failing = program(() => {
      throw new TypeError('own');
    });
    expect(errorOf(() => trace(failing))).toMatchObject({
      code: 'THAW_ENGINE_PROGRAM_INVALID',
      message: "program 'test': own",
      cause: expect.any(TypeError),
    });
  });

  it('names the kernel that tfjs cannot differentiate', () => {
    const definition = program(({ w }) => ({ loss: tf.sum(tf.where(tf.greater(w!, 0), w!, 0)) }), {
      gradientOf: 'loss',
    });
    const error = errorOf(() => trace(definition));
    expect(error).toMatchObject({ code: 'THAW_ENGINE_PROGRAM_INVALID', details: { kernel: 'Greater' } });
  });

  it('refuses reading a computed value and says whose', () => {
    const error = errorOf(() => trace(program((_, { x }) => ({ y: tf.mul(x!, tf.sum(x!).dataSync()[0]!) }))));
    expect(error).toMatchObject({ code: 'THAW_ENGINE_VALUE_READ' });
    expect(error.message).toBe("program 'test': the value of the result of Sum [] was read");
    expect(
      errorOf(() => trace(program((_, { x }) => ({ y: tf.scalar(x!.arraySync().toString().length) })))).message,
    ).toContain("input 'x'");
  });

  it('refuses tensors from outside, of another backend or of an earlier trace, and says who reads them', async () => {
    await tf.setBackend('cpu');
    const outside = tf.tensor([1, 2, 3]);
    const problem = 'reads a float32 tensor of shape [3] that was not made by the program being traced';
    try {
      expect(errorOf(() => trace(program((_, { x }) => ({ y: tf.add(x!, outside) }))))).toMatchObject({
        code: 'THAW_ENGINE_FOREIGN_TENSOR',
        message: `program 'test': Add ${problem}`,
      });
      expect(errorOf(() => trace(program((_, { x }) => (tf.add(x!, 1), { y: outside }))))).toMatchObject({
        code: 'THAW_ENGINE_FOREIGN_TENSOR',
        message: `program 'test': output 'y' ${problem}`,
      });
    } finally {
      outside.dispose();
    }
    let kept: tf.Tensor | undefined;
    trace(program((_, { x }) => ({ y: (kept = tf.exp(x!)) })));
    expect(errorOf(() => trace(program((_, { x }) => ({ y: tf.add(x!, kept!) })))).message).toMatch(
      /not made by|disposed/,
    );
  });

  it.each<[string, (x: tf.Tensor) => tf.Tensor]>([
    ['randomNormal', (x) => tf.add(x, tf.randomNormal([2, 3], 0, 1, 'float32', 7))],
    ['dropout', (x) => tf.dropout(x, 0.5)],
    ['randomUniform', (x) => tf.add(x, tf.randomUniform([3]))],
    ['truncatedNormal', (x) => tf.add(x, tf.truncatedNormal([3]))],
    ['randomGamma', (x) => tf.add(x, tf.randomGamma([3], 1))],
    ['randomUniformInt', (x) => tf.add(x, tf.cast(tf.randomUniformInt([3], 0, 9), 'float32'))],
  ])('refuses random numbers that would be the same in every call: %s', (draw, fn) => {
    expect(errorOf(() => trace(program((_, { x }) => ({ y: fn(x!) }))))).toMatchObject({
      code: 'THAW_ENGINE_PROGRAM_INVALID',
      message: `program 'test': tf.${draw} would draw once, and every call get the same numbers`,
    });
  });

  it('refuses an asynchronous function, and what becomes of it troubles nobody', async () => {
    let reading: Promise<unknown> | undefined;
    const asynchronous = (_: unknown, { x }: Record<string, tf.Tensor>): Promise<unknown> => (reading = x!.data());
    const definition = program(asynchronous as unknown as ProgramDefinition['fn']);
    expect(errorOf(() => trace(definition)).message).toContain('asynchronous');
    // Vitest fails a run in which a rejection is handled by nobody.
    await expect(reading).rejects.toMatchObject({ code: 'THAW_ENGINE_VALUE_READ' });
  });

  it('restores the backend, after errors too', async () => {
    await tf.setBackend('cpu');
    trace(program((_, { x }) => ({ y: tf.exp(x!) })));
    expect(tf.getBackend()).toBe('cpu');
    errorOf(() => trace(program(() => ({ y: tf.scalar(1).asinh() }))));
    errorOf(() =>
      trace(
        program(() => {
          throw new Error('own');
        }),
      ),
    );
    expect(tf.getBackend()).toBe('cpu');
    const sum = tf.tidy(() => tf.add(1, 2).dataSync()[0]);
    expect(sum).toBe(3);
  });

  it.each([
    ['returns no output', () => ({})],
    ['must return tensors by name', () => tf.scalar(1)],
    ['asynchronous', () => Promise.resolve({})],
    ['is not a tensor', () => ({ y: 3 })],
    ["there is no output 'loss'", () => ({ y: tf.scalar(1) })],
    ['must be a scalar', () => ({ loss: tf.zeros([2]) })],
    ['has the type bool', () => ({ loss: tf.scalar(1), y: tf.greater(tf.scalar(1), 0) })],
    ['name kept for gradients', () => ({ loss: tf.scalar(1), 'grad/w': tf.scalar(1) })],
  ])('refuses a function that %s', (problem, fn) => {
    const error = errorOf(() => trace(program(fn as unknown as ProgramDefinition['fn'], { gradientOf: 'loss' })));
    expect(error.code).toBe('THAW_ENGINE_PROGRAM_INVALID');
    expect(error.message).toContain(problem);
  });

  it.each([
    ['positive integers', { inputs: { x: f32(2, 0) } }],
    ['both a weight and an input', { inputs: { w: f32(2) } }],
    ['must be float32', { weights: { w: { shape: [2], dtype: 'int32' as const } } }],
  ])('refuses a definition: %s', (problem, extra) => {
    const error = errorOf(() => trace(program(() => ({ y: tf.scalar(1) }), extra)));
    expect(error.code).toBe('THAW_ENGINE_PROGRAM_INVALID');
    expect(error.message).toContain(problem);
  });

  it('normalises attributes', () => {
    const graph = trace(
      program(
        (_, { x, i }) => ({
          a: tf.transpose(tf.sum(x!, [-1, 1])),
          b: tf.slice(x!, [1, 0, 2]),
          c: tf.stridedSlice(x!, [0, 0, 4], [2, 3, 0], [1, 1, -2]),
          d: tf.gather(x!, i!, -1),
          e: tf.concat(tf.split(x!, [2, 3], 2).reverse(), -1),
        }),
        { inputs: { x: f32(2, 3, 5), i: { shape: [4], dtype: 'int32' } } },
      ),
    );
    const attributesOf = (op: string) => graph.nodes.filter((node) => node.op === op).map((node) => node.attributes);
    expect(attributesOf('Sum')).toEqual([{ axes: [1, 2], keepDims: false }]);
    expect(attributesOf('Slice')[0]).toEqual({ begin: [1, 0, 2], size: [1, 3, 3] });
    expect(attributesOf('StridedSlice')).toEqual([{ begin: [0, 0, 4], end: [2, 3, 0], strides: [1, 1, -2] }]);
    expect(graph.values[graph.outputs['c']!]!.shape).toEqual([2, 3, 2]);
    expect(attributesOf('GatherV2')).toEqual([{ axis: 2 }]);
    expect(attributesOf('Concat')).toEqual([{ axis: 2 }]);
  });
});

describe('supportedKernels', () => {
  it('lists every kernel once, and every listed kernel is one of tfjs', () => {
    const kernels = supportedKernels().map((entry) => entry.kernel);
    expect(new Set(kernels).size).toBe(kernels.length);
    const known = new Set<unknown>(Object.values(tf).filter((value) => typeof value === 'string'));
    expect(kernels.filter((kernel) => !known.has(kernel))).toEqual([]);
    expect(kernels.length).toBeGreaterThan(80);
  });

  it('notes the innermost tidy that names a segment, and none for the way back', () => {
    const graph = trace({
      name: 'segments',
      weights: { w: { shape: [2], dtype: 'float32' } },
      inputs: { x: { shape: [2], dtype: 'float32' } },
      fn: ({ w }, { x }) => {
        const inner = tf.tidy('level 1: outer', () =>
          tf.add(
            tf.tidy('level 2: inner.0', () => tf.exp(tf.mul(w!, x!))),
            tf.tidy('other', () => tf.sin(x!)),
          ),
        );
        return { loss: tf.sum(tf.cos(inner)) };
      },
      gradientOf: 'loss',
    });
    const segments = graph.nodes.map(({ op, segment }) => [op, segment && `${segment.level} ${segment.name}`]);
    expect(segments.filter(([, segment]) => segment !== undefined)).toEqual([
      ['Multiply', '2 inner.0'],
      ['Exp', '2 inner.0'],
      ['Sin', '1 outer'],
      ['Add', '1 outer'],
    ]);
    expect(segments.map(([op]) => op)).toEqual(expect.arrayContaining(['Cos', 'Sum', 'Neg']));
  });
});
