/**
 * Plain fading (section 2.3 of the reference, the official "naive" masks; nothing published uses it): the whole image fades to grey by a
 * factor a step, or its pixels vanish one a step along a spiral from the centre, into grey or into a random colour.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { FadeConfig } from '../../protocol/index.js';
import type { Degradation, ImageGeometry, Table } from '../degradation.js';
import { required } from '../degradation.js';
import { blend, scalarAt } from '../per-image.js';

/** Share of the image left at severities 0..T: the product of 1 - factor (i + 1), or of 1 - factor, over i < s. */
function keptShares({ routine, factor, steps }: FadeConfig): Float64Array {
  const kept = new Float64Array(steps + 1).fill(1);
  for (let s = 1; s <= steps; s++)
    kept[s] = kept[s - 1]! * Math.max(0, 1 - factor * (routine === 'Incremental' ? s : 1));
  return kept;
}

/**
 * When each pixel vanishes, [H, W]: 0 in the middle, H^2 - 1 in the upper right corner; read from the last one backwards, the spiral goes
 * left along the upper edge and on against the clock.
 */
export function spiralOrder(size: number): Float32Array {
  const order = new Float32Array(size * size).fill(-1);
  const free = (y: number, x: number): boolean =>
    y >= 0 && y < size && x >= 0 && x < size && order[y * size + x] === -1;
  let [y, x, down, right] = [0, size - 1, 0, -1];
  for (let left = size * size - 1; left >= 0; left--) {
    order[y * size + x] = left;
    if (!free(y + down, x + right)) [down, right] = [-right, down];
    [y, x] = [y + down, x + right];
  }
  return order;
}

export function createFade(config: FadeConfig, geometry: ImageGeometry): Degradation {
  const { steps, routine } = config;
  const { size, channels } = geometry;
  const coloured = routine === 'Spiral_2';
  const spiral = routine === 'Spiral' || coloured;
  const tables: Record<string, Table> = spiral
    ? { order: { shape: [size, size], data: spiralOrder(size) } }
    : { keep: { shape: [steps + 1], data: Float32Array.from(keptShares(config)) } };

  const apply: Degradation['apply'] = (x0, severity, given, context) => {
    if (!spiral) return tf.mul(x0, scalarAt(required(given, 'keep'), severity));
    const vanished = tf.reshape(tf.cast(severity, 'float32'), [-1, 1, 1]);
    const there = tf.cast(tf.greaterEqual(tf.expandDims(required(given, 'order'), 0), vanished), 'float32');
    const mask = tf.expandDims(there, 3) as tf.Tensor4D;
    if (!coloured) return tf.mul(x0, mask);
    return blend(x0, tf.reshape(required(context, 'colour'), [-1, 1, 1, channels]) as tf.Tensor4D, mask);
  };

  const how = spiral
    ? `Pixels vanish along a spiral from the centre${coloured ? ' into a random colour' : ''}, one in each of ${steps} steps`
    : `The image fades to grey in ${steps} steps (${routine}, factor ${config.factor})`;
  return {
    family: 'fade',
    steps,
    geometry,
    tables,
    contextSpecs: coloured ? { colour: { shape: [channels], dtype: 'float32' } } : {},
    truncateStart: false,
    drawContext: (stream): Record<string, Float32Array> =>
      coloured ? { colour: Float32Array.from({ length: channels }, () => stream.uniform()) } : {},
    apply,
    applyInTraining: apply,
    describe: () => ({ family: 'fade', steps, summary: how }),
  };
}
