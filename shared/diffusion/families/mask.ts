/**
 * Gaussian masks (section 2.3 of the reference): D(x, s) = x prod_{i < s} m_i; a masked pixel becomes 0, mid grey. With
 * Random_Incremental every image has its own centre: one table over squared distances serves all of them.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { MaskConfig } from '../../protocol/index.js';
import type { Degradation, ImageGeometry, Table, Tensors } from '../degradation.js';
import { required, truncateTo8Bits } from '../degradation.js';
import type { FadeSchedule } from '../fade.js';
import { cumulativeFades, fixedCentre, squaredDistances } from '../fade.js';
import { planeAt } from '../per-image.js';

export const maskSchedule = (config: MaskConfig): FadeSchedule => ({
  kernelStd: config.kernelStd,
  initialMask: config.initialMask,
  constant: config.routine === 'Constant',
});

/** Centres lie in -1..H-1, so no pixel is further than H rows and H columns away. */
const largestSquaredDistance = (size: number): number => 2 * size * size;

function maskTable(config: MaskConfig, size: number): Table {
  const random = config.routine === 'Random_Incremental';
  const distances = random
    ? Float64Array.from({ length: largestSquaredDistance(size) + 1 }, (_, d2) => d2)
    : squaredDistances(size, fixedCentre(size));
  const shape = random ? [config.steps + 1, distances.length] : [config.steps + 1, size, size];
  return { shape, data: Float32Array.from(cumulativeFades(maskSchedule(config), config.steps, distances)) };
}

/** The mask of every image around its own centre: [B, H, W, 1]. */
function maskAround(table: tf.Tensor, centre: tf.Tensor2D, severity: tf.Tensor1D, size: number): tf.Tensor4D {
  const offsets = (axis: number, shape: number[]): tf.Tensor => {
    const positions = tf.tensor(
      Float32Array.from({ length: size }, (_, i) => i),
      shape,
    );
    return tf.square(tf.sub(positions, tf.reshape(tf.slice(centre, [0, axis], [-1, 1]), [-1, 1, 1])));
  };
  const squared = tf.cast(tf.add(offsets(0, [1, size, 1]), offsets(1, [1, 1, size])), 'int32');
  const row = tf.mul(tf.reshape(severity, [-1, 1, 1]), tf.scalar(largestSquaredDistance(size) + 1, 'int32'));
  return tf.expandDims(tf.gather(tf.reshape(table, [-1]), tf.add(row, squared) as tf.Tensor3D), 3) as tf.Tensor4D;
}

export function createMask(config: MaskConfig, geometry: ImageGeometry): Degradation {
  const { size } = geometry;
  const random = config.routine === 'Random_Incremental';
  const apply = (x0: tf.Tensor4D, severity: tf.Tensor1D, tables: Tensors, context: Tensors): tf.Tensor4D => {
    const table = required(tables, 'mask');
    const mask = random
      ? maskAround(table, required<tf.Tensor2D>(context, 'centre'), severity, size)
      : planeAt(table, severity);
    return tf.mul(x0, mask);
  };
  return {
    family: 'mask',
    steps: config.steps,
    geometry,
    tables: { mask: maskTable(config, size) },
    // Row and column of the centre, -1..H-1.
    contextSpecs: random ? { centre: { shape: [2], dtype: 'float32' } } : {},
    truncateStart: config.discrete,
    drawContext(stream): Record<string, Float32Array> {
      if (!random) return {};
      const row = size - 1 - stream.below(size + 1);
      return { centre: Float32Array.of(row, size - 1 - stream.below(size + 1)) };
    },
    apply,
    applyInTraining: (x0, severity, tables, context) => {
      const masked = apply(x0, severity, tables, context);
      return config.discrete ? truncateTo8Bits(masked) : masked;
    },
    describe: () => ({
      family: 'mask',
      steps: config.steps,
      summary: `A grey Gaussian mask grows in ${config.steps} steps ${random ? 'around a random point' : 'from the centre'}`,
    }),
  };
}
