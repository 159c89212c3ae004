/**
 * Decolorization (section 2.6 of the reference): D(x, s) = keep_s x + (1 - keep_s) mean over channels. The grey is the plain mean.
 * With `toLab` the network sees CIE Lab and the official code goes Lab -> RGB -> mix -> Lab at every step. On the way to RGB colours are
 * cut off at [0, 1]; mixing leaves them inside, so all later conversions undo each other, and s steps are one cut and one mix in RGB.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { DecolorizationConfig } from '../../protocol/index.js';
import type { Degradation, ImageGeometry } from '../degradation.js';
import { networkSpaceOf } from '../colour-space.js';
import { required } from '../degradation.js';
import { blend, scalarAt, severityTable } from '../per-image.js';

/** Share of colour kept by step i (official f_i). */
export function keptByStep(config: DecolorizationConfig, index: number): number {
  if (config.totalRemove && index === config.steps - 1) return 0;
  return config.routine === 'Constant' ? config.factor : 1 - 1 / (config.steps - index);
}

/** Share of colour left at severity s. */
function keptAt(config: DecolorizationConfig, severity: number): number {
  if (config.totalRemove && severity === config.steps) return 0;
  if (config.routine === 'Linear') return 1 - severity / config.steps;
  let kept = 1;
  for (let i = 0; i < severity; i++) kept *= config.factor;
  return kept;
}

export function createDecolorization(config: DecolorizationConfig, geometry: ImageGeometry): Degradation {
  const mix: Degradation['apply'] = (x0, severity, tables) =>
    blend(x0, tf.mean(x0, 3, true) as tf.Tensor4D, scalarAt(required(tables, 'keep'), severity));
  const apply: Degradation['apply'] = config.toLab
    ? (x0, severity, tables, context) => {
        const clean = tf.reshape(tf.cast(tf.equal(severity, 0), 'float32'), [-1, 1, 1, 1]) as tf.Tensor4D;
        return blend(x0, mix(tf.clipByValue(x0, -1, 1), severity, tables, context), clean);
      }
    : mix;
  const networkSpace = networkSpaceOf(config);
  return {
    family: 'decolorization',
    steps: config.steps,
    geometry,
    ...(networkSpace === undefined ? {} : { networkSpace }),
    tables: { keep: severityTable(config.steps, (s) => keptAt(config, s)) },
    contextSpecs: {},
    truncateStart: false,
    drawContext: () => ({}),
    apply,
    applyInTraining: apply,
    describe: () => ({
      family: 'decolorization',
      steps: config.steps,
      summary: `Colours fade to grey in ${config.steps} steps (${config.routine}${config.totalRemove ? ', nothing left' : ''}${config.toLab ? ', the network sees Lab' : ''})`,
    }),
  };
}
