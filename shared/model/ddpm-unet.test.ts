import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Engine, ProgramDefinition } from '../engine/index.js';
import { fromStored, openEngine, toStored } from '../engine/index.js';
import type { DdpmUnetConfig } from '../protocol/index.js';
import { RunConfigSchema } from '../protocol/index.js';
import { RandomStream } from '../runtime/index.js';
import { initialWeights } from './init.js';
import { drawDropout, dropoutShapes, network, networkWeightSpecs } from './network.js';
import { parameterCount } from './unet-spec.js';

const published: DdpmUnetConfig = {
  kind: 'ddpm-unet',
  dim: 128,
  mults: [1, 2, 2, 2],
  blocks: 2,
  attentionSizes: [16],
  dropout: 0.1,
};
const small: DdpmUnetConfig = { ...published, dim: 32, mults: [1, 2], blocks: 1, attentionSizes: [4] };
const images = { size: 8, channels: 3 };

describe('parameters', () => {
  it('have the published number at 32 and at 128 pixels', () => {
    expect(parameterCount(networkWeightSpecs(published, { size: 32, channels: 3 }))).toBe(35_746_307);
    expect(parameterCount(networkWeightSpecs(published, { size: 128, channels: 3 }))).toBe(35_746_307);
  });
});

describe('dropout', () => {
  const shapes = dropoutShapes(small, 8);

  it('has a mask for every residual block, in the order of computation', () => {
    expect(Object.entries(shapes)).toEqual([
      ['down.0.block.0', [8, 8, 32]],
      ['down.1.block.0', [4, 4, 64]],
      ['mid.block_1', [4, 4, 64]],
      ['mid.block_2', [4, 4, 64]],
      ['up.1.block.0', [4, 4, 64]],
      ['up.1.block.1', [4, 4, 64]],
      ['up.0.block.0', [8, 8, 32]],
      ['up.0.block.1', [8, 8, 32]],
    ]);
    expect(dropoutShapes({ ...small, dropout: 0 }, 8)).toEqual({});
  });

  it('drops the share asked for, keeps the mean, and depends on step, lane and row only', () => {
    const draw = (step: number, lane: number, row: number) =>
      drawDropout(small, 8, new RandomStream(1, 'dropout', step, lane, row));
    const masks = Object.values(draw(3, 1, 2)).flatMap((mask) => Array.from(mask));
    const kept = Math.fround(1 / 0.9);
    expect(new Set(masks)).toEqual(new Set([0, kept]));
    const dropped = masks.filter((value) => value === 0).length / masks.length;
    // Deviation of the share: sqrt(0.09 / n).
    expect(Math.abs(dropped - 0.1)).toBeLessThan(4 * Math.sqrt(0.09 / masks.length));
    expect(draw(3, 1, 2)).toEqual(draw(3, 1, 2));
    for (const other of [draw(4, 1, 2), draw(3, 0, 2), draw(3, 1, 1)]) expect(other).not.toEqual(draw(3, 1, 2));
  });
});

describe('run files', () => {
  const run = {
    format: 'thaw.run/1',
    name: 'ddpm',
    seed: 1,
    data: { dataset: 'cifar10', size: 32, channels: 3 },
    degradation: { family: 'noise', steps: 4 },
    network: { kind: 'ddpm-unet', dim: 32, mults: [1, 2] },
    optimizer: { learningRate: 1e-3 },
    batch: { global: 4, micro: 2 },
    steps: 1,
  };
  const problems = (network: object): string =>
    JSON.stringify(RunConfigSchema.safeParse({ ...run, network: { ...run.network, ...network } }).error?.issues ?? '');

  it('take the network, with the official defaults', () => {
    expect(RunConfigSchema.parse(run).network).toMatchObject({ blocks: 2, attentionSizes: [16], dropout: 0.1 });
  });

  it('name what does not fit', () => {
    expect(problems({ attentionSizes: [8] })).toContain(
      '8 is the edge of no map; the network has maps of 32, 16 pixels',
    );
    expect(problems({ dim: 48 })).toContain('dim');
    expect(problems({ dropout: 1 })).toContain('dropout');
    expect(problems({ mults: [1, 2, 2, 2, 2, 2, 2] })).toContain('mults');
  });
});

describe('on the engines', () => {
  const batch = 2;
  const specs = networkWeightSpecs(small, images);
  const weights = initialWeights(small, images, 5);
  const shapes = dropoutShapes(small, 8);
  const floats = (shape: readonly number[]) => ({ shape, dtype: 'float32' as const });
  const definition: ProgramDefinition = {
    name: 'ddpm',
    weights: Object.fromEntries(Object.entries(specs).map(([name, { modelShape }]) => [name, floats(modelShape)])),
    inputs: {
      x: floats([batch, 8, 8, 3]),
      t: floats([batch]),
      ...Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, floats([batch, ...shape])])),
    },
    fn: (w, { x, t, ...masks }) => {
      const y = network(w, x as tf.Tensor4D, t as tf.Tensor1D, small, masks);
      return { y, loss: tf.mean(tf.square(y)) };
    },
    gradientOf: 'loss',
  };
  const stream = new RandomStream(2, 'evaluation');
  const masks = Array.from({ length: batch }, (_, row) =>
    drawDropout(small, 8, new RandomStream(1, 'dropout', 0, 0, row)),
  );
  const inputs = {
    x: Float32Array.from({ length: batch * 8 * 8 * 3 }, () => 2 * stream.uniform() - 1),
    t: Float32Array.of(0, 3),
    ...Object.fromEntries(
      Object.keys(shapes).map((name) => [name, Float32Array.from(masks.flatMap((row) => Array.from(row[name]!)))]),
    ),
  };
  let engines: Engine[];
  beforeAll(async () => {
    engines = [await openEngine({ kind: 'onnx-cpu' }), await openEngine({ kind: 'tfjs-wasm' })];
  });
  afterAll(() => Promise.all(engines.map((engine) => engine.close())));

  it('without time embedding is the network at t = 0, with the same parameters', async () => {
    const timeless = { ...small, timeEmbedding: false };
    expect(networkWeightSpecs(timeless, images)).toEqual(specs);
    const outputs = await Promise.all(
      [
        { config: timeless, t: Float32Array.of(2, 3) },
        { config: small, t: Float32Array.of(0, 0) },
        { config: small, t: Float32Array.of(2, 3) },
      ].map(async ({ config, t }) => {
        const compiled = await engines[0]!.load({
          name: 'ddpm-forward',
          weights: definition.weights,
          inputs: { x: floats([batch, 8, 8, 3]), t: floats([batch]) },
          fn: (w, given) => ({ y: network(w, given.x as tf.Tensor4D, given.t as tf.Tensor1D, config) }),
        });
        const stored = compiled.weights.map((weight) => [weight.name, toStored(weight, weights[weight.name]!)]);
        return (await compiled.run({ weights: Object.fromEntries(stored), inputs: { x: inputs.x, t } })).y;
      }),
    );
    expect(outputs[0]).toEqual(outputs[1]);
    expect(outputs[0]).not.toEqual(outputs[2]);
  });

  it('ONNX Runtime and tfjs agree on output and gradients, dropout included', async () => {
    const [got, want] = (await Promise.all(
      engines.map(async (engine) => {
        const compiled = await engine.load(definition);
        const stored = compiled.weights.map((weight) => [weight.name, toStored(weight, weights[weight.name]!)]);
        const outputs = await compiled.run({ weights: Object.fromEntries(stored), inputs });
        for (const weight of compiled.weights)
          outputs[`grad/${weight.name}`] = fromStored(weight, outputs[`grad/${weight.name}`] as Float32Array);
        return outputs;
      }),
    )) as [Record<string, Float32Array>, Record<string, Float32Array>];
    expect(Object.keys(got)).toHaveLength(2 + Object.keys(specs).length);
    for (const [name, values] of Object.entries(want)) {
      const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-5);
      const difference = values.reduce((most, value, i) => Math.max(most, Math.abs(value - got[name]![i]!)), 0);
      expect(difference / largest, name).toBeLessThan(1e-3);
    }
  });
});
