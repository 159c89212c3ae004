/** The kernels that complete the wasm backend, against those of tfjs's own cpu backend. */
import '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { startWasm, wasmBackendName } from '../io/wasm.js';

beforeAll(() => startWasm());

const wave = (shape: number[], step: number): Float32Array =>
  Float32Array.from(
    { length: shape.reduce((product, length) => product * length, 1) },
    (_, i) => ((i * step) % 23) / 23 - 0.4,
  );

/** Gradients of sum(f(a, b)^2) for both, on a backend. */
function gradients(
  backend: string,
  f: (a: tf.Tensor, b: tf.Tensor) => tf.Tensor,
  shapes: [number[], number[]],
): Float32Array[] {
  void tf.setBackend(backend);
  return tf.tidy(() => {
    const operands = shapes.map((shape, i) => tf.tensor(wave(shape, 5 + 2 * i), shape));
    const [da, db] = tf.grads((a: tf.Tensor, b: tf.Tensor) => tf.sum(tf.square(f(a, b))))(operands);
    return [da!.dataSync().slice() as Float32Array, db!.dataSync().slice() as Float32Array];
  });
}

function expectAlike(f: (a: tf.Tensor, b: tf.Tensor) => tf.Tensor, shapes: [number[], number[]]): void {
  const want = gradients('cpu', f, shapes);
  const got = gradients(wasmBackendName, f, shapes);
  want.forEach((data, i) => {
    expect(got[i]!.length).toBe(data.length);
    const largest = data.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    expect(largest).toBeGreaterThan(0.1);
    data.forEach((value, k) => expect(Math.abs(got[i]![k]! - value)).toBeLessThan(1e-5 * largest));
  });
}

describe('wasm kernels', () => {
  it.each([
    [1, 'same', 3, 6],
    [1, 'valid', 3, 6],
    [2, 'same', 4, 6],
    [2, 'same', 3, 7],
    [2, 'valid', 3, 8],
    [3, 'valid', 2, 9],
    [1, 'same', 1, 5],
    [2, 'same', 1, 6],
    [1, 2, 3, 5],
    [2, 3, 3, 6],
  ] as [number, 'same' | 'valid' | number, number, number][])(
    'differentiate a convolution: stride %s, padding %s, filter %s, size %s',
    (stride, pad, filter, size) => {
      expectAlike(
        (x, w) => tf.conv2d(x as tf.Tensor4D, w as tf.Tensor4D, stride, pad),
        [
          [2, size, size + 1, 3],
          [filter, filter, 3, 4],
        ],
      );
    },
  );

  it('differentiate a transposed convolution', () => {
    expectAlike(
      (x, w) => tf.conv2dTranspose(x as tf.Tensor4D, w as tf.Tensor4D, [2, 10, 8, 2], 2, 'same'),
      [
        [2, 5, 4, 3],
        [4, 4, 2, 3],
      ],
    );
  });

  it.each([
    ['same', 7],
    ['valid', 3],
  ] as ['same' | 'valid', number][])('differentiate a depthwise convolution, %s, filter %s', (pad, filter) => {
    expectAlike(
      (x, w) => tf.depthwiseConv2d(x as tf.Tensor4D, w as tf.Tensor4D, 1, pad),
      [
        [2, 8, 7, 3],
        [filter, filter, 3, 1],
      ],
    );
  });

  it('differentiate a gather with an index taken twice', () => {
    expectAlike(
      (x, y) => tf.mul(tf.gather(x, tf.tensor1d([2, 0, 2], 'int32'), 1), y),
      [
        [2, 4, 3],
        [2, 3, 3],
      ],
    );
  });
});
