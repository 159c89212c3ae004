import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { lower, trace, type ProgramDefinition } from '@thaw/shared/engine';
import { ThawError } from '@thaw/shared/protocol';
import { openOnnxFeatures, parseOnnxFeatures } from './onnx-features.js';
import { resizeBilinear } from './resize-bilinear.js';

type Network = (x: tf.Tensor4D) => Record<string, tf.Tensor>;

/** An ONNX file of a network with the input x, made by our own lowering. */
function onnxOf(shape: readonly number[], fn: Network): Uint8Array {
  const definition: ProgramDefinition = {
    name: 'features',
    weights: {},
    inputs: { x: { shape, dtype: 'float32' } },
    fn: (_, inputs) => fn(inputs.x as tf.Tensor4D),
  };
  return lower(trace(definition)).onnx;
}
const channelMeans: Network = (x) => ({ features: tf.mean(x, [2, 3]) });
const grey = { height: 8, width: 8, channels: 1 };
const open = (onnx: Uint8Array, options: object, shape = grey) =>
  openOnnxFeatures(onnx, parseOnnxFeatures(options, 'net.json'), shape);
const refusal = (opening: Promise<unknown>): Promise<string> =>
  opening.then(
    () => 'opened',
    (error: unknown) =>
      error instanceof ThawError ? `${error.code} ${error.message}` : `no ThawError: ${String(error)}`,
  );

describe('openOnnxFeatures', () => {
  it('repeats grey images, scales values, and fills a fixed batch', async () => {
    const features = await open(onnxOf([2, 3, 8, 8], channelMeans), { name: 'means', range: [0, 255] });
    expect(features).toMatchObject({
      metric: 'frechet-means',
      dimensions: 3,
      sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    const images = [-1, 0, 1.2].map((value) => new Float32Array(64).fill(value));
    const values = await features.extract(images, grey);
    // Not clamped: 1.2 is beyond white.
    const wanted = [0, 0, 0, 127.5, 127.5, 127.5, 280.5, 280.5, 280.5];
    values.forEach((value, i) => expect(value).toBeCloseTo(wanted[i]!, 3));
  });

  it('gives colours in the layout asked for, resized', async () => {
    const colour = { height: 4, width: 4, channels: 3 };
    const image = Float32Array.from({ length: 48 }, (_, i) => (i % 3) - 1);
    for (const [layout, shape, axes] of [
      ['NCHW', [5, 3, 8, 8], [2, 3]],
      ['NHWC', [5, 8, 8, 3], [1, 2]],
    ] as const) {
      const onnx = onnxOf(shape, (x) => ({ features: tf.mean(x, [...axes]) }));
      const features = await open(onnx, { layout, size: 8, range: [-1, 1] }, colour);
      const values = await features.extract([image], colour);
      [-1, 0, 1].forEach((value, i) => expect(values[i]).toBeCloseTo(value, 6));
    }
  });

  it('is called FID only where the file says that it is the standard network', async () => {
    const onnx = onnxOf([2, 3, 8, 8], channelMeans);
    expect((await open(onnx, {})).metric).toBe('frechet-onnx');
    expect((await open(onnx, { fid: true })).metric).toBe('fid');
  });

  it('refuses what does not fit, naming it', async () => {
    expect(await refusal(open(new TextEncoder().encode('no network'), {}))).toMatch(
      /^THAW_FEATURES_INVALID The network of features is no ONNX file/,
    );
    const onnx = onnxOf([2, 3, 16, 16], channelMeans);
    expect(await refusal(open(onnx, {}))).toBe(
      'THAW_FEATURES_INVALID input: the network takes [2, 3, 16, 16]; images are [50, 3, 8, 8] (NCHW).',
    );
    expect(await refusal(open(onnx, { size: 16 }))).toBe('opened');
    expect(await refusal(open(onnx, { size: 16, layout: 'NHWC' }))).toContain('images are [50, 16, 16, 3] (NHWC)');
    expect(await refusal(open(onnx, { size: 16, input: 'y' }))).toContain('has no input "y"; it has x.');
    const two = onnxOf([2, 3, 8, 8], (x) => ({ pooled: tf.mean(x, [2, 3]), map: tf.mean(x, [1]) }));
    expect(await refusal(open(two, {}))).toMatch(/output: the network has 2: .*Say which one/);
    expect(await refusal(open(two, { output: 'pooled' }))).toBe('opened');
    expect(await refusal(open(two, { output: 'map' }))).toContain(
      'output: "map" is float32 [2, 8, 8] for 2 images; a vector for each is wanted',
    );
    const colour = { height: 8, width: 8, channels: 3 };
    expect(await refusal(open(two, { channels: 1 }, colour))).toContain('the network takes grey images');
    expect(await refusal(Promise.resolve().then(() => parseOnnxFeatures({ layout: 'HWC' }, 'net.json')))).toContain(
      'net.json does not describe a network',
    );
  });

  it('refuses features that are no numbers, naming the image', async () => {
    const features = await open(
      onnxOf([2, 3, 8, 8], (x) => ({ features: tf.sqrt(tf.mean(x, [2, 3])) })),
      { range: [-1, 1] },
    ).catch((error: Error) => error.message);
    if (typeof features === 'string') throw new Error(features);
    const images = [0.5, 0.5, -0.5].map((value) => new Float32Array(64).fill(value));
    await expect(features.extract(images, grey)).rejects.toThrow('gives NaN for feature 0 of image 2 of a call');
  });
});

describe('resizeBilinear', () => {
  it('puts pixels at half steps, as PyTorch without aligned corners', () => {
    const line = resizeBilinear(Float32Array.of(0, 4, 0, 4), { height: 2, width: 2, channels: 1 }, 4);
    expect(Array.from(line.subarray(0, 4))).toEqual([0, 1, 3, 4]);
    const same = Float32Array.of(1, 2, 3, 4);
    expect(resizeBilinear(same, { height: 2, width: 2, channels: 1 }, 2)).toBe(same);
    // Shrinking by 2 takes the mean of the two middle pixels, without antialiasing beyond.
    const eight = Float32Array.from({ length: 64 }, (_, i) => i % 8);
    expect(Array.from(resizeBilinear(eight, { height: 8, width: 8, channels: 1 }, 4).subarray(0, 4))).toEqual([
      0.5, 2.5, 4.5, 6.5,
    ]);
  });
});
