/** Eager engines make in their threads the calls that a program's function makes here: the same bits. */
import * as tf from '@tensorflow/tfjs-core';
import { trainingProgram, degradationOf, tableInputs } from '@thaw/shared/diffusion';
import { RunConfigSchema } from '@thaw/shared/protocol';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openEngine } from '../open.js';
import { applyProgram, onBackend } from '../program/index.js';
import { traceCalls } from '../trace/index.js';
import type { Engine, ProgramDefinition, TensorData, TensorSpec } from '../types.js';
import { startWasm, wasmBackendName } from './io/wasm.js';

let engine: Engine;
beforeAll(async () => {
  await startWasm();
  engine = await openEngine({ kind: 'tfjs-wasm', workers: 2 });
});
afterAll(() => engine.close());

const f32 = (...shape: number[]): TensorSpec => ({ shape, dtype: 'float32' });

const run = RunConfigSchema.parse({
  format: 'thaw.run/1',
  name: 'tape',
  seed: 1,
  data: { dataset: 'none', size: 8, channels: 3 },
  degradation: { family: 'blur', steps: 4, routine: 'Incremental', kernelSize: 3, kernelStd: 0.5 },
  network: { kind: 'convnext-unet', dim: 8, mults: [1, 2], residual: true },
  optimizer: { learningRate: 1e-3 },
  batch: { global: 4, micro: 2 },
  steps: 10,
});
/** Kernels that take lists, give lists, make constants, alias their input, or are recorded as others. */
const unusual: ProgramDefinition = {
  name: 'unusual',
  weights: { w: f32(4, 3), unread: f32(2) },
  inputs: { x: f32(2, 4), rows: { shape: [3], dtype: 'int32' } },
  fn: ({ w }, { x, rows }) => {
    const [left, right] = tf.split(x!, 2, 1);
    const sum = tf.addN([
      left!,
      right!,
      tf.mul(left!, tf.tensor2d([0.1, -0, 3, 4], [2, 2])),
      tf.mul(right!, tf.linspace(0, 1, 2)),
    ]);
    const y = tf.matMul(tf.concat([sum, tf.stack(tf.unstack(right!, 1), 1)], 1), w as tf.Tensor2D);
    const chosen = tf.where(tf.greater(y, 0.2), y, tf.onesLike(y));
    return {
      loss: tf.mean(tf.softmax(tf.gather(tf.transpose(y), rows as tf.Tensor1D))),
      chosen,
      same: tf.clone(chosen),
      seven: tf.fill([2, 2], 7),
      rowsAgain: rows!,
    };
  },
  gradientOf: 'loss',
};

function drawn(specs: Readonly<Record<string, TensorSpec>>): Record<string, TensorData> {
  return Object.fromEntries(
    Object.entries(specs).map(([name, { shape, dtype }], lane) => {
      const size = shape.reduce((product, length) => product * length, 1);
      const wave = Float32Array.from({ length: size }, (_, i) => ((i * (7 + 2 * lane)) % 23) / 23 - 0.4);
      return [name, dtype === 'int32' ? Int32Array.from(wave, (_, i) => i % 3) : wave];
    }),
  );
}

/** The program's function itself, on the backend in this thread. */
function direct(definition: ProgramDefinition, values: Record<string, TensorData>): Record<string, TensorData> {
  const tensors = (specs: Readonly<Record<string, TensorSpec>>) =>
    Object.fromEntries(
      Object.entries(specs).map(([name, { shape, dtype }]) => [name, tf.tensor(values[name]!, [...shape], dtype)]),
    );
  return onBackend(wasmBackendName, () =>
    applyProgram(
      definition,
      tensors(definition.weights),
      tensors(definition.inputs),
      (tensor) => tensor.dataSync().slice() as TensorData,
    ),
  );
}

describe.each<[string, ProgramDefinition]>([
  ['kernels of all kinds', unusual],
  ['a training step', trainingProgram(run, 2)],
])('%s', (_, definition) => {
  const values = { ...drawn(definition.weights), ...drawn(definition.inputs), ...tableInputs(degradationOf(run)) };
  const pick = <T>(specs: Readonly<Record<string, TensorSpec>>) =>
    Object.fromEntries(Object.keys(specs).map((name) => [name, values[name]!])) as Record<string, T>;

  it('gives in a thread the bits that it gives here', async () => {
    const expected = direct(definition, values);
    const compiled = await engine.load(definition);
    const call = { weights: pick<Float32Array>(definition.weights), inputs: pick<TensorData>(definition.inputs) };
    expect(await compiled.run(call)).toEqual(expected);
    expect(await compiled.run(call)).toEqual(expected);
    await compiled.dispose();
  });

  it('is recorded equally each time', () => {
    expect(traceCalls(definition)).toEqual(traceCalls(definition));
  });
});

it('an error names the tfjs operation, and the thread goes on', async () => {
  const rows = (offset: number): ProgramDefinition => ({
    name: 'depthwise',
    weights: { filter: f32(3, 3, 2, 2) },
    inputs: { x: f32(1, 5, 5, 2) },
    fn: ({ filter }, { x }) => ({
      loss: tf.add(tf.sum(tf.depthwiseConv2d(x as tf.Tensor4D, filter as tf.Tensor4D, 1, 'same')), offset),
    }),
    gradientOf: 'loss',
  });
  const compiled = await engine.load(rows(0));
  const call = { weights: { filter: new Float32Array(36) }, inputs: { x: new Float32Array(50) } };
  for (let again = 0; again < 3; again++)
    await expect(compiled.run(call)).rejects.toMatchObject({
      code: 'THAW_ENGINE_UNKNOWN_KERNEL',
      details: { kernel: 'DepthwiseConv2dNativeBackpropFilter', program: 'depthwise' },
    });
  const { gradientOf, ...forward } = rows(1);
  expect(gradientOf).toBe('loss');
  const sound = await engine.load(forward);
  expect((await sound.run(call))['loss']).toEqual(Float32Array.of(1));
});
