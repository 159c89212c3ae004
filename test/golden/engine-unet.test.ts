/** A training step of the official network on the engines: loss and gradients against PyTorch's. */
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, describe, expect, it } from 'vitest';
import { fromStored, openEngine, probeFingerprint, toStored } from '@thaw/shared/engine';
import type { Compiled, Engine, ProgramDefinition, StoredWeight } from '@thaw/shared/engine';
import { fromOfficial, toOfficial, transposeData, unet, unetWeightSpecs } from '@thaw/shared/model';
import { UnetConfigSchema } from '@thaw/shared/protocol';
import { disagreement, goldenCases } from './vectors.js';

const golden = goldenCases().find((entry) => entry.id === 'unet/forward_backward')!;
const [batch, channels, size] = golden.input('x').shape as [number, number, number];
const config = UnetConfigSchema.parse({ kind: 'convnext-unet', dim: 16, mults: [1, 2, 4] });
const specs = unetWeightSpecs(config, channels);

const images = { shape: [batch, size, size, channels], dtype: 'float32' } as const;
const definition: ProgramDefinition = {
  name: 'training',
  weights: Object.fromEntries(
    Object.entries(specs).map(([name, { modelShape }]) => [name, { shape: modelShape, dtype: 'float32' }]),
  ),
  inputs: { x: images, target: images, t: { shape: [batch], dtype: 'float32' } },
  fn: (weights, { x, target, t }) => {
    const y = unet(weights, x as tf.Tensor4D, t as tf.Tensor1D, config);
    return { y, loss: tf.mean(tf.abs(tf.sub(y, target!))) };
  },
  gradientOf: 'loss',
};

const nhwc = (name: string): Float32Array => transposeData(golden.floats(name), golden.input(name).shape, [0, 2, 3, 1]);
const inputs = { x: nhwc('x'), target: nhwc('target'), t: golden.floats('t') };

function sharedWeights(stored: readonly StoredWeight[]): Record<string, Float32Array> {
  const official = golden.group('param:*');
  return Object.fromEntries(
    stored.map((weight) => {
      const data = toStored(weight, fromOfficial(specs[weight.name]!, official.get(weight.name)!.data as Float32Array));
      const shared = new Float32Array(new SharedArrayBuffer(data.byteLength));
      shared.set(data);
      return [weight.name, shared];
    }),
  );
}

describe.each(['onnx-cpu', 'tfjs-wasm'] as const)('training step of the official network on %s', (kind) => {
  let engine: Engine;
  let step: Compiled;
  afterAll(() => engine?.close());

  it('gives the loss, output and gradients of PyTorch', async () => {
    engine = await openEngine({ kind, workers: kind === 'onnx-cpu' ? 2 : 1 });
    step = await engine.load(definition);
    const outputs = await step.run({ weights: sharedWeights(step.weights), inputs });
    const gradient = (name: string): Float32Array => {
      const weight = step.weights.find((candidate) => candidate.name === name)!;
      return toOfficial(specs[name]!, fromStored(weight, outputs[`grad/${name}`] as Float32Array));
    };
    const norm = (data: Float32Array): number => Math.sqrt(data.reduce((sum, value) => sum + value * value, 0));
    const got = (name: string): ArrayLike<number> | undefined => {
      if (name === 'loss') return outputs['loss'];
      if (name === 'y') return transposeData(outputs['y'] as Float32Array, images.shape, [0, 3, 1, 2]);
      if (name === 'grad_norms')
        return [...golden.group('param:*').keys()].map((parameter) => norm(gradient(parameter)));
      return name.startsWith('grad:') ? gradient(name.slice('grad:'.length)) : undefined;
    };
    const compared: string[] = [];
    for (const [name, { tensor, tolerance }] of golden.wanted()) {
      const result = got(name);
      if (result === undefined) continue;
      compared.push(name);
      expect(disagreement(result, tensor, tolerance), name).toBeUndefined();
    }
    expect(compared).toEqual(expect.arrayContaining(['loss', 'y', 'grad_norms', 'grad:downs.0.0.ds_conv.weight']));
    expect(step.weights.length).toBe(180);
  });

  it('gives the same bits at every call and on every worker, and says so in its fingerprint', async () => {
    const probe = {
      compiled: step,
      probeInput: (name: string) => (name === 't' ? Float32Array.from({ length: batch }, (_, i) => i) : undefined),
    };
    const first = await probeFingerprint(engine, [probe]);
    expect(await probeFingerprint(engine, [probe])).toEqual(first);
    expect(first.fields['probe 0 training']).toMatch(/^[0-9a-f]{64}$/);
  });
});
