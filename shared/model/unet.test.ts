import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Engine, ProgramDefinition } from '../engine/index.js';
import { openEngine, trace } from '../engine/index.js';
import type { UnetConfig } from '../protocol/index.js';
import { initialWeights } from './init.js';
import { unetWeightSpecs } from './unet-spec.js';
import { unet } from './unet.js';

const base: UnetConfig = {
  kind: 'convnext-unet',
  dim: 8,
  mults: [1, 2],
  timeEmbedding: true,
  residual: false,
  zeroInitLast: false,
};
const pixels = 8 * 8;

let engine: Engine;

const definition = (config: UnetConfig, batch: number): ProgramDefinition => ({
  name: 'unet',
  weights: Object.fromEntries(
    Object.entries(unetWeightSpecs(config, 1)).map(([name, spec]) => [
      name,
      { shape: spec.modelShape, dtype: 'float32' },
    ]),
  ),
  inputs: { x: { shape: [batch, 8, 8, 1], dtype: 'float32' }, t: { shape: [batch], dtype: 'float32' } },
  fn: (weights, { x, t }) => ({ y: unet(weights, x as tf.Tensor4D, t as tf.Tensor1D, config) }),
});

async function run(config: UnetConfig, x: Float32Array, t: number[]): Promise<Float32Array> {
  const program = await engine.load(definition(config, t.length));
  const { y } = await program.run({
    weights: initialWeights(config, { size: 8, channels: 1 }, 3),
    inputs: { x, t: Float32Array.from(t) },
  });
  return y as Float32Array;
}

const images = Float32Array.from({ length: 3 * pixels }, (_, i) => Math.fround(((i * 37) % 101) / 50 - 1));

beforeAll(async () => {
  engine = await openEngine({ kind: 'tfjs-wasm' });
});
afterAll(() => engine.close());

describe('unet', () => {
  it('starts as the identity with residual and zeroInitLast, bit for bit', async () => {
    expect(await run({ ...base, residual: true, zeroInitLast: true }, images, [0, 3, 7])).toEqual(images);
  });

  it('residual adds the input', async () => {
    const plain = await run(base, images, [0, 3, 7]);
    const residual = await run({ ...base, residual: true }, images, [0, 3, 7]);
    residual.forEach((value, i) => expect(value).toBeCloseTo(plain[i]! + images[i]!, 6));
  });

  it('sees the step index only with time embedding', async () => {
    expect(await run(base, images, [0, 3, 7])).not.toEqual(await run(base, images, [1, 3, 7]));
    const timeless = { ...base, timeEmbedding: false };
    expect(await run(timeless, images, [0, 3, 7])).toEqual(await run(timeless, images, [1, 4, 5]));
  });

  it('outputMeanScale takes the mean of the input off and adds that of the output, per image', async () => {
    const plain = await run(base, images, [0, 3, 7]);
    const scaled = await run({ ...base, outputMeanScale: true }, images, [0, 3, 7]);
    const mean = (data: Float32Array, row: number): number =>
      data.subarray(row * pixels, (row + 1) * pixels).reduce((sum, value) => sum + value, 0) / pixels;
    scaled.forEach((value, i) => {
      const row = Math.floor(i / pixels);
      expect(value).toBeCloseTo(plain[i]! - mean(images, row) + mean(plain, row), 5);
    });
  });

  it('treats the images of a batch independently', async () => {
    const together = await run(base, images, [0, 3, 7]);
    const others = images.slice();
    others.fill(0.5, pixels);
    expect((await run(base, others, [0, 1, 2])).subarray(0, pixels)).toEqual(together.subarray(0, pixels));
  });

  it('names a parameter that is missing', () => {
    const { 'time_mlp.1.weight': _, ...weights } = definition(base, 2).weights;
    expect(() => trace({ ...definition(base, 2), weights })).toThrow('no parameter time_mlp.1.weight');
  });
});
