/**
 * Mixing with a second image z on the cosine schedule (section 2.8 of the reference): D(x, s) = a_s x + b_s z. With z normal noise
 * this is hot diffusion; with z another picture, animorphosis.
 */
import * as tf from '@tensorflow/tfjs-core';
import { exactCosFirstQuadrant } from '../../model/index.js';
import type { AnimorphosisConfig, NoiseConfig } from '../../protocol/index.js';
import type { Degradation, ImageGeometry } from '../degradation.js';
import { required } from '../degradation.js';
import { scalarAt, severityTable } from '../per-image.js';

/** abar_s, s = 0..T: f(s/T)/f(0), f(u) = cos^2(((u + 0.008)/1.008) pi/2); the last step keeps at least 0.001. */
export function cosineSchedule(steps: number): Float64Array {
  const f = (u: number): number => {
    const cosine = exactCosFirstQuadrant((((u + 0.008) / 1.008) * Math.PI) / 2);
    return cosine * cosine;
  };
  const kept = new Float64Array(steps + 1).fill(1, 0, 1);
  for (let s = 1; s <= steps; s++) {
    const ratio = f(s / steps) / f((s - 1) / steps);
    kept[s] = kept[s - 1]! * Math.max(ratio, 0.001);
  }
  return kept;
}

/** D(x, z, s) = a_s x + b_s z; the context `partner` is z. */
export function createMixing(
  steps: number,
  geometry: ImageGeometry,
): Pick<Degradation, 'tables' | 'contextSpecs' | 'apply'> & Required<Pick<Degradation, 'estimateNext'>> {
  const kept = cosineSchedule(steps);
  return {
    tables: {
      'keep-image': severityTable(steps, (s) => Math.sqrt(kept[s]!)),
      'keep-partner': severityTable(steps, (s) => Math.sqrt(1 - kept[s]!)),
    },
    contextSpecs: { partner: { shape: [geometry.size, geometry.size, geometry.channels], dtype: 'float32' } },
    apply: (x0, severity, tables, context) =>
      tf.add(
        tf.mul(scalarAt(required(tables, 'keep-image'), severity), x0),
        tf.mul(scalarAt(required(tables, 'keep-partner'), severity), required<tf.Tensor4D>(context, 'partner')),
      ),
    // z = (x_s - a_s x̂0) / b_s, then a_s' x̂0 + b_s' z: DDIM with eta 0.
    estimateNext: (x, restored, severity, nextSeverity, tables) => {
      const [image, partner] = [required(tables, 'keep-image'), required(tables, 'keep-partner')];
      const estimated = tf.div(tf.sub(x, tf.mul(scalarAt(image, severity), restored)), scalarAt(partner, severity));
      return tf.add(
        tf.mul(scalarAt(image, nextSeverity), restored),
        tf.mul(scalarAt(partner, nextSeverity), estimated),
      );
    },
  };
}

/** Hot diffusion: z is normal noise, drawn once per image. */
export function createNoise(config: NoiseConfig, geometry: ImageGeometry): Degradation {
  const mixing = createMixing(config.steps, geometry);
  const pixels = geometry.size * geometry.size * geometry.channels;
  return {
    ...mixing,
    family: 'noise',
    steps: config.steps,
    geometry,
    truncateStart: false,
    drawContext: (stream) => ({ partner: Float32Array.from({ length: pixels }, () => stream.normal()) }),
    applyInTraining: mixing.apply,
    describe: () => ({
      family: 'noise',
      steps: config.steps,
      summary: `Normal noise on the cosine schedule in ${config.steps} steps`,
    }),
  };
}

/** Animorphosis: z is a picture of another data set, handed in by whoever draws the context. */
export function createAnimorphosis(config: AnimorphosisConfig, geometry: ImageGeometry): Degradation {
  const mixing = createMixing(config.steps, geometry);
  const pixels = geometry.size * geometry.size * geometry.channels;
  return {
    ...mixing,
    family: 'animorphosis',
    steps: config.steps,
    geometry,
    partners: config.partners,
    truncateStart: false,
    drawContext(_, partner) {
      if (partner?.length !== pixels)
        throw new Error(`animorphosis needs a partner of ${pixels} values, it was given ${partner?.length ?? 'none'}`);
      return { partner };
    },
    applyInTraining: mixing.apply,
    describe: () => ({
      family: 'animorphosis',
      steps: config.steps,
      summary: `Images dissolve into pictures of "${config.partners}" on the cosine schedule in ${config.steps} steps`,
    }),
  };
}
