import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-wasm';
import { beforeAll, describe, expect, it } from 'vitest';
import { ThawError } from '../protocol/index.js';
import type { DegradationConfig } from '../protocol/index.js';
import { RandomStream } from '../runtime/index.js';
import { createDegradation, degradationFamilies } from './registry.js';

const configs: { [F in DegradationConfig['family']]: Extract<DegradationConfig, { family: F }> } = {
  blur: { family: 'blur', steps: 6, routine: 'Constant', kernelSize: 5, kernelStd: 1, discrete: true },
  'super-resolution': { family: 'super-resolution', steps: 3, routine: 'Incremental_factor_2' },
  decolorization: { family: 'decolorization', steps: 6, routine: 'Linear', factor: 0.9, totalRemove: true },
  mask: { family: 'mask', steps: 6, routine: 'Random_Incremental', kernelStd: 0.5, initialMask: 1, discrete: false },
  'colour-mask': { family: 'colour-mask', steps: 6, kernelStd: 0.5, initialMask: 1, reverse: true },
  noise: { family: 'noise', steps: 6 },
  animorphosis: { family: 'animorphosis', steps: 6, partners: 'animals' },
  snow: { family: 'snow', steps: 6, level: 3, randomSnow: true, fixBrightness: false, singleSnow: true },
  fade: { family: 'fade', steps: 6, routine: 'Spiral_2', factor: 0.1 },
};
const geometry = { size: 16, channels: 3 };

function problemOf(action: () => unknown): ThawError {
  try {
    action();
  } catch (error) {
    if (error instanceof ThawError) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

beforeAll(async () => {
  await tf.setBackend('wasm');
});

describe.each(degradationFamilies)('%s', (family) => {
  const degradation = createDegradation(configs[family], geometry);
  const images = Float32Array.from({ length: 2 * 16 * 16 * 3 }, (_, i) => ((i * 7919) % 255) / 127.5 - 1);

  /** The context of image `row`; a degradation with partners is given one. */
  const draw = (seed: number, row = 0): Record<string, Float32Array> => {
    const stream = new RandomStream(seed, 'degradation', 0, 0, row);
    const partner = Float32Array.from({ length: 16 * 16 * 3 }, () => 2 * stream.uniform() - 1);
    return degradation.drawContext(new RandomStream(seed, 'degradation', 0, 0, row), partner);
  };

  /** D of two images, each at its own severity, and the kernels that ran. */
  async function degrade(
    severities: [number, number],
    rows: Float32Array = images,
  ): Promise<{ data: Float32Array; kernels: string[] }> {
    const drawn = [0, 1].map((row) => draw(3, row));
    let data: Float32Array = new Float32Array();
    const profile = await tf.profile(() =>
      tf.tidy(() => {
        const tables = Object.fromEntries(
          Object.entries(degradation.tables).map(([name, table]) => [name, tf.tensor(table.data, [...table.shape])]),
        );
        const context = Object.fromEntries(
          Object.entries(degradation.contextSpecs).map(([name, { shape }]) => [
            name,
            tf.stack(drawn.map((values) => tf.tensor(values[name]!, [...shape]))),
          ]),
        );
        const x0 = tf.tensor4d(rows, [2, 16, 16, 3]);
        const degraded = degradation.apply(x0, tf.tensor1d(severities, 'int32'), tables, context);
        data = degraded.dataSync() as Float32Array;
        return degraded;
      }),
    );
    return { data, kernels: profile.kernels.map(({ name }) => name) };
  }

  it('costs the same at severity 1 and T: the same kernels run', async () => {
    const [mild, full] = [await degrade([1, 1]), await degrade([degradation.steps, degradation.steps])];
    expect(mild.kernels.length).toBeGreaterThan(0);
    expect(full.kernels).toEqual(mild.kernels);
    expect(full.data).not.toEqual(mild.data);
  });

  it('leaves an image as it is at severity 0, bit for bit', async () => {
    expect((await degrade([0, 0])).data).toEqual(images);
  });

  it('gives an image the same bits whatever severity its neighbour has', async () => {
    const half = images.length / 2;
    const [mixed, same] = [await degrade([2, degradation.steps]), await degrade([2, 2])];
    expect(mixed.data.subarray(0, half)).toEqual(same.data.subarray(0, half));
    expect(mixed.data.subarray(half)).not.toEqual(same.data.subarray(half));
  });

  it('draws the context that it says, the same from the same stream', () => {
    const drawn = draw(3);
    expect(Object.keys(drawn).sort()).toEqual(Object.keys(degradation.contextSpecs).sort());
    for (const [name, spec] of Object.entries(degradation.contextSpecs))
      expect(drawn[name]!.length).toBe(spec.shape.reduce((product, extent) => product * extent, 1));
    expect(draw(3)).toEqual(drawn);
    if (Object.keys(drawn).length > 0) expect(draw(4)).not.toEqual(drawn);
  });

  it('describes itself', () => {
    const description = degradation.describe();
    expect(description).toMatchObject({ family, steps: degradation.steps });
    expect(description.summary).toContain(String(degradation.steps));
  });
});

describe('parameters that do not fit', () => {
  it.each<[string, DegradationConfig, { size: number; channels: number }, string]>([
    ['a window wider than the image', { ...configs.blur, kernelSize: 35 }, geometry, '35 taps'],
    [
      'a window as wide as the reflected image',
      { ...configs.blur, routine: 'Constant_reflect', kernelSize: 33 },
      geometry,
      'radius at most 15',
    ],
    [
      'too many steps of growing windows',
      { ...configs.blur, routine: 'Individual_Incremental', steps: 50 },
      geometry,
      '99 taps',
    ],
    ['more halvings than the image has', { ...configs['super-resolution'], steps: 5 }, geometry, '5 steps'],
    ['grey images where colour is taken away', configs.decolorization, { size: 16, channels: 1 }, 'channels is 1'],
    ['an odd image under a mask', configs.mask, { size: 15, channels: 3 }, 'even image size'],
    ['an odd image under a colour', configs['colour-mask'], { size: 15, channels: 3 }, 'even image size'],
    ['snow on a stamp', configs.snow, { size: 8, channels: 3 }, 'at least 11 pixels'],
  ])('%s is refused with a sentence', (_, config, size, words) => {
    const error = problemOf(() => createDegradation(config, size));
    expect(error.code).toBe('THAW_DEGRADATION_INVALID');
    expect(error.message).toContain(words);
  });

  it('snow of several images refuses to draw for one that does not know its place', () => {
    const snow = createDegradation({ ...configs.snow, patternImages: 4 }, geometry);
    expect(() => snow.drawContext(new RandomStream(1, 'degradation'))).toThrow('the place among them');
  });

  it('the widest window that fits is accepted', () => {
    expect(() => createDegradation({ ...configs.blur, kernelSize: 33 }, geometry)).not.toThrow();
    expect(() =>
      createDegradation({ ...configs.blur, routine: 'Constant_reflect', kernelSize: 31 }, geometry),
    ).not.toThrow();
  });
});
