/** NCHW to NHWC and back, and tfjs helpers of the golden runners. */
import * as tf from '@tensorflow/tfjs-core';
import type { Degradation, Tensors } from '@thaw/shared/diffusion';
import { transposeData } from '@thaw/shared/model';
import type { GoldenTensor } from '../vectors.js';

type Shape4 = [number, number, number, number];

/** An image batch in NHWC. */
export interface Images {
  readonly shape: Shape4;
  readonly data: Float32Array;
}

export function fromNchw(tensor: GoldenTensor): Images {
  const [n, c, h, w] = tensor.shape as Shape4;
  return { shape: [n, h, w, c], data: transposeData(Float32Array.from(tensor.data), [n, c, h, w], [0, 2, 3, 1]) };
}

export const toNchw = (data: Float32Array, shape: Shape4): Float32Array => transposeData(data, shape, [0, 3, 1, 2]);

export const tableTensors = (degradation: Degradation): Record<string, tf.Tensor> =>
  Object.fromEntries(
    Object.entries(degradation.tables).map(([name, table]) => [name, tf.tensor(table.data, [...table.shape])]),
  );

export interface DegradeOptions {
  readonly training?: boolean;
  readonly context?: Readonly<Record<string, { readonly data: Float32Array; readonly shape: number[] }>>;
}

/** D(x, s) of a batch, NHWC data in and out. */
export function degrade(
  degradation: Degradation,
  images: Images,
  severities: readonly number[],
  options: DegradeOptions = {},
): Float32Array {
  return withTensors(() => {
    const context: Tensors = Object.fromEntries(
      Object.entries(options.context ?? {}).map(([name, value]) => [name, tf.tensor(value.data, value.shape)]),
    );
    const x0 = tf.tensor4d(images.data, images.shape);
    const severity = tf.tensor1d([...severities], 'int32');
    const operator = options.training ? degradation.applyInTraining : degradation.apply;
    return operator(x0, severity, tableTensors(degradation), context).dataSync() as Float32Array;
  });
}

/** tf.tidy for functions that return plain arrays. */
export function withTensors<T>(compute: () => T): T {
  const engine = tf.engine();
  engine.startScope();
  try {
    return compute();
  } finally {
    engine.endScope();
  }
}

/** x_s' with estimated noise, NHWC data in and out, one severity for all images. */
export const estimateNext = (
  degradation: Degradation,
  shape: Shape4,
  x: Float32Array,
  restored: Float32Array,
  severity: number,
  nextSeverity: number,
): Float32Array =>
  withTensors(() => {
    const all = (s: number): tf.Tensor1D => tf.fill([shape[0]], s, 'int32');
    const tables = tableTensors(degradation);
    const images = [tf.tensor4d(x, shape), tf.tensor4d(restored, shape)] as const;
    return degradation.estimateNext!(...images, all(severity), all(nextSeverity), tables).dataSync() as Float32Array;
  });
