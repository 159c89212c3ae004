/** What the engine is given wrong: a coded sentence, nothing half loaded, and it goes on as before. */
import Module from 'node:module';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { doctor, lower, openEngine, trace } from './index.js';
import { programDigest } from './lower/index.js';
import type { OnnxEngine, Program, ProgramDefinition } from './index.js';

const f32 = (...shape: number[]) => ({ shape, dtype: 'float32' as const });
const threads = (): number =>
  process.getActiveResourcesInfo().filter((resource) => /Worker|MessagePort/.test(resource)).length;

interface Loader {
  _load(request: string, ...rest: unknown[]): unknown;
}
/** Runs `body` with another answer to whoever reads the manifest of onnxruntime-node. */
async function withManifest<T>(answer: () => unknown, body: () => Promise<T>): Promise<T> {
  const loader = Module as unknown as Loader;
  const load = loader._load;
  loader._load = (request, ...rest) =>
    request === 'onnxruntime-node/package.json' ? answer() : load(request, ...rest);
  try {
    return await body();
  } finally {
    loader._load = load;
  }
}

describe.each<[string, () => unknown, string]>([
  ['of another version', () => ({ version: '1.29.0' }), 'onnxruntime-node is version 1.29.0, but 1.30.0 is required.'],
  [
    'that is not installed',
    () => {
      throw new Error("Cannot find module 'onnxruntime-node/package.json'");
    },
    'the package onnxruntime-node is not installed.',
  ],
])('an ONNX Runtime %s', (_, answer, sentence) => {
  it('is not used: a sentence for who asked, the fallback with its reason for auto, no thread left', async () => {
    const before = threads();
    await withManifest(answer, async () => {
      const asked = openEngine({ kind: 'onnx-cpu' });
      await expect(asked).rejects.toMatchObject({ code: 'THAW_ENGINE_UNAVAILABLE' });
      await expect(asked).rejects.toThrow(sentence);
      const engine = await openEngine({ workers: 2 });
      expect(engine.describe()).toMatchObject({
        kind: 'tfjs-wasm',
        workers: 2,
        reason: expect.stringContaining(sentence),
      });
      await engine.close();
      const answers = await doctor();
      for (const kind of ['onnx-cpu', 'onnx-cuda', 'onnx-webgpu'])
        expect(answers.find((engine) => engine.kind === kind)).toMatchObject({ available: false, reason: sentence });
    });
    expect(threads()).toBe(before);
  });
});

describe('a program', () => {
  const definition: ProgramDefinition = {
    name: 'small',
    weights: { kernel: f32(3, 3, 2, 4), bias: f32(4) },
    inputs: { x: f32(1, 4, 4, 2) },
    fn: ({ kernel, bias }, { x }) => ({
      y: tf.add(tf.conv2d(x as tf.Tensor4D, kernel as tf.Tensor4D, 1, 'same'), bias!),
    }),
  };
  const call = {
    weights: { kernel: Float32Array.from({ length: 72 }, (_, i) => i / 72), bias: Float32Array.of(1, 2, 3, 4) },
    inputs: { x: Float32Array.from({ length: 32 }, (_, i) => 1 - i / 16) },
  };
  const program = lower(trace(definition));
  let engine: OnnxEngine;
  beforeAll(async () => {
    engine = (await openEngine({ kind: 'onnx-cpu', workers: 2 })) as OnnxEngine;
  });
  afterAll(() => engine.close());

  const damaged: [string, Program][] = [
    ['with a flipped bit', { ...program, onnx: program.onnx.map((byte, i) => (i === 200 ? byte ^ 4 : byte)) }],
    ['cut short', { ...program, onnx: program.onnx.subarray(0, program.onnx.length - 9) }],
    ['that is empty', { ...program, onnx: new Uint8Array(0) }],
    ['whose weight has another shape', withWeight({ shape: [5], permutation: [0], size: 5 })],
    ['whose weight lies in another order', withKernel({ permutation: [0, 1, 2, 3] })],
    ['whose input has another shape', { ...program, inputs: [{ ...program.inputs[0]!, shape: [1, 4, 4, 3] }] }],
    ['whose output has another name', { ...program, outputs: [{ ...program.outputs[0]!, name: 'z' }] }],
    ['without a weight', { ...program, weights: program.weights.slice(1) }],
    ['of an older lowering', { ...program, loweringVersion: program.loweringVersion - 1 }],
  ];
  function withWeight(change: Partial<Program['weights'][number]>, changed = 'bias'): Program {
    return { ...program, weights: program.weights.map((w) => (w.name === changed ? { ...w, ...change } : w)) };
  }
  function withKernel(change: Partial<Program['weights'][number]>): Program {
    return withWeight(change, 'kernel');
  }

  it.each(damaged)('%s, kept somewhere, is refused; the sound one loads after it and computes', async (_, bad) => {
    const refused = engine.loadProgram(bad);
    await expect(refused).rejects.toMatchObject({ code: 'THAW_ENGINE_PROGRAM_CORRUPT' });
    await expect(refused).rejects.toThrow("program 'small' is not loaded");
    const sound = await engine.loadProgram(program);
    expect((await sound.run(call))['y']!.length).toBe(64);
    await sound.dispose();
  });

  it('that ONNX Runtime refuses is loaded by no worker, and leaves what is loaded alone', async () => {
    const loaded = await engine.loadProgram(program);
    const before = await loaded.run(call);
    const unknown: ProgramDefinition = {
      ...definition,
      name: 'foreign',
      fn: (weights, inputs) => ({ y: tf.relu(definition.fn(weights, inputs)['y']!) }),
    };
    const { onnx, ...rest } = lower(trace(unknown));
    // An operator of the same length that does not exist, under a digest that fits.
    const text = Buffer.from(onnx).toString('latin1').replaceAll('Relu', 'Xelu');
    const bad = { ...rest, onnx: new Uint8Array(Buffer.from(text, 'latin1')) };
    const refused = engine.loadProgram({ ...bad, digest: programDigest(bad) });
    await expect(refused).rejects.toMatchObject({ code: 'THAW_ENGINE_FAILED' });
    await expect(refused).rejects.toThrow(/preparing program 'foreign' failed.*Xelu/s);
    expect(await loaded.run(call)).toEqual(before);
    await loaded.dispose();
  });

  it.each(['onnx-cpu', 'tfjs-wasm'] as const)(
    'whose weights do not fit its function is refused on %s',
    async (kind) => {
      const other = await openEngine({ kind });
      const wrong = { ...definition, weights: { ...definition.weights, kernel: f32(3, 3, 3, 4) } };
      const refused = other.load(wrong);
      await expect(refused).rejects.toMatchObject({ code: 'THAW_ENGINE_PROGRAM_INVALID' });
      await expect(refused).rejects.toThrow(/program 'small'.*depth/);
      const sound = await other.load(definition);
      await expect(sound.run({ ...call, weights: { ...call.weights, kernel: new Float32Array(108) } })).rejects.toThrow(
        "weight 'kernel' needs 72 values, got 108",
      );
      await other.close();
    },
  );
});
