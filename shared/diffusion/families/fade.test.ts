import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-wasm';
import { beforeAll, expect, it } from 'vitest';
import { degradationProblems, FadeConfigSchema } from '../../protocol/index.js';
import type { FadeConfig } from '../../protocol/index.js';
import { createFade, spiralOrder } from './fade.js';

beforeAll(async () => {
  await tf.setBackend('wasm');
});

const fade = (changes: object): FadeConfig =>
  FadeConfigSchema.parse({ family: 'fade', steps: 10, routine: 'Incremental', ...changes });
const image = Float32Array.from({ length: 4 * 4 * 3 }, (_, i) => (i % 7) / 7 - 0.4);
const degraded = (config: FadeConfig, severities: number[], colour = [0, 0, 0]): Float32Array[] => {
  const degradation = createFade(config, { size: 4, channels: 3 });
  return severities.map((s) =>
    tf.tidy(() => {
      const tables = Object.fromEntries(
        Object.entries(degradation.tables).map(([name, { shape, data }]) => [name, tf.tensor(data, [...shape])]),
      );
      const x0 = tf.tensor4d(image, [1, 4, 4, 3]);
      const context = { colour: tf.tensor2d([colour]) };
      return degradation
        .apply(x0, tf.tensor1d([s], 'int32'), tables, context)
        .dataSync()
        .slice() as Float32Array;
    }),
  );
};

it('the spiral is that of the official code', () => {
  // to_spiral of 4 x 4 and 5 x 5 there.
  expect(Array.from(spiralOrder(4))).toEqual([12, 13, 14, 15, 11, 2, 3, 4, 10, 1, 0, 5, 9, 8, 7, 6]);
  expect(Array.from(spiralOrder(5))).toEqual([
    ...[20, 21, 22, 23, 24, 19, 6, 7, 8, 9, 18, 5, 0],
    ...[1, 10, 17, 4, 3, 2, 11, 16, 15, 14, 13, 12],
  ]);
});

it('fades by the product of the factors', () => {
  const [two, ten] = degraded(fade({}), [2, 10]);
  image.forEach((value, i) => expect(two![i]).toBeCloseTo(value * 0.9 * 0.8, 6));
  ten!.forEach((value) => expect(Math.abs(value)).toBeLessThan(1e-6));
  const [third] = degraded(fade({ routine: 'Constant', factor: 0.25 }), [3]);
  image.forEach((value, i) => expect(third![i]).toBeCloseTo(value * 0.75 ** 3, 6));
});

it('takes one pixel a step, into grey or a colour, and the colour is all that is left at the end', () => {
  const severities = Array.from({ length: 17 }, (_, s) => s);
  const order = spiralOrder(4);
  const colour = [0.25, 0.5, 0.75];
  for (const routine of ['Spiral', 'Spiral_2'] as const)
    degraded(fade({ steps: 16, routine }), severities, colour).forEach((got, s) =>
      got.forEach((value, i) => {
        const gone = order[Math.floor(i / 3)]! < s;
        expect(value).toBe(gone ? (routine === 'Spiral' ? value * 0 : colour[i % 3]) : image[i]);
      }),
    );
});

it('names steps that leave nothing', () => {
  const problem = (changes: object): unknown => degradationProblems(fade(changes), { size: 4, channels: 3 })[0];
  expect(problem({})).toBeUndefined();
  expect(problem({ steps: 11 })).toMatchObject({ path: ['steps'], message: expect.stringContaining('at most 10') });
  expect(problem({ steps: 17, routine: 'Spiral' })).toMatchObject({ message: expect.stringContaining('at most 16') });
  expect(problem({ steps: 17, routine: 'Constant' })).toBeUndefined();
});
