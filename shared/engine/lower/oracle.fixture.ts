import '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs-core';
import ort from 'onnxruntime-node';
import { applyProgram } from '../program/index.js';
import { trace } from '../trace/index.js';
import type { Program, ProgramDefinition, TensorData, TensorSpec } from '../types.js';
import { sizeOf } from '../graph/index.js';
import { lower } from './lower.js';
import type { LoweringOptions } from './options.js';
import { fromStored, toStored } from './weights.js';

/** For tests: the same definition lowered and run by ONNX Runtime, and run op by op by tfjs. */
export type Values = Record<string, TensorData>;

const sessionOptions: ort.InferenceSession.SessionOptions = {
  intraOpNumThreads: 1,
  interOpNumThreads: 1,
  enableMemPattern: false,
  logSeverityLevel: 4,
};

/** Reproducible values of about unit size; integers are below `limit`. */
export function sampleValues(specs: Readonly<Record<string, TensorSpec>>, limit = 3): Values {
  let state = 12345;
  const next = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return (state >>> 8) / 2 ** 24;
  };
  return Object.fromEntries(
    Object.entries(specs).map(([name, { shape, dtype }]) => [
      name,
      dtype === 'int32'
        ? Int32Array.from({ length: sizeOf(shape) }, () => Math.floor(next() * limit))
        : Float32Array.from({ length: sizeOf(shape) }, () => next() + next() + next() - 1.5),
    ]),
  );
}

/** Outputs in model layout. */
export async function runProgram(program: Program, weights: Values, inputs: Values): Promise<Values> {
  const session = await ort.InferenceSession.create(program.onnx, sessionOptions);
  try {
    const feeds: Record<string, ort.Tensor> = {};
    for (const weight of program.weights) {
      const shape = weight.permutation.map((axis) => weight.shape[axis]!);
      feeds[weight.name] = new ort.Tensor('float32', toStored(weight, weights[weight.name] as Float32Array), shape);
    }
    for (const { name, dtype, shape } of program.inputs) feeds[name] = new ort.Tensor(dtype, inputs[name]!, shape);
    const results = await session.run(feeds);
    const stored = new Map(program.weights.map((weight) => [`grad/${weight.name}`, weight]));
    return Object.fromEntries(
      program.outputs.map(({ name, shape }) => {
        const data = results[name]!.data as Float32Array;
        if (results[name]!.dims.join() !== shape.join())
          throw new Error(`${name}: declared [${shape.join()}], got [${results[name]!.dims.join()}]`);
        const weight = stored.get(name);
        return [name, weight === undefined ? data : fromStored(weight, data)];
      }),
    );
  } finally {
    await session.release();
  }
}

export const runLowered = (
  definition: ProgramDefinition,
  weights: Values,
  inputs: Values,
  options?: LoweringOptions,
): Promise<Values> => runProgram(lower(trace(definition), options), weights, inputs);

/** tfjs' own plain kernels. */
export async function runEager(definition: ProgramDefinition, weights: Values, inputs: Values): Promise<Values> {
  const previous = tf.getBackend();
  await tf.setBackend('cpu');
  try {
    return tf.tidy(() => {
      const tensors = (specs: Readonly<Record<string, TensorSpec>>, values: Values): Record<string, tf.Tensor> =>
        Object.fromEntries(
          Object.entries(specs).map(([name, { shape, dtype }]) => [name, tf.tensor(values[name]!, [...shape], dtype)]),
        );
      const take = (tensor: tf.Tensor): TensorData => tensor.dataSync().slice() as TensorData;
      return applyProgram(definition, tensors(definition.weights, weights), tensors(definition.inputs, inputs), take);
    });
  } finally {
    if (previous) await tf.setBackend(previous);
  }
}

/** Largest difference, relative to the largest magnitude of the expected values (at least 1e-3). */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return Infinity;
  let scale = 1e-3;
  let worst = 0;
  for (let i = 0; i < expected.length; i++) {
    scale = Math.max(scale, Math.abs(expected[i]!));
    const difference = Math.abs(actual[i]! - expected[i]!);
    worst = Math.max(worst, Number.isNaN(difference) ? Infinity : difference);
  }
  return worst / scale;
}

/** Worst relative error over all outputs; infinite where an output is missing. */
export const worstError = (actual: Values, expected: Values): number =>
  Math.max(...Object.entries(expected).map(([name, values]) => relativeError(actual[name] ?? [], values)));

export const float = (...shape: number[]): TensorSpec => ({ shape, dtype: 'float32' });
export const int = (...shape: number[]): TensorSpec => ({ shape, dtype: 'int32' });
