/** Masks toward a constant colour z (section 2.4 of the reference): D(x, s) = alpha_s x + (1 - alpha_s) z, z drawn per image. */
import * as tf from '@tensorflow/tfjs-core';
import type { ColourMaskConfig } from '../../protocol/index.js';
import type { Degradation, ImageGeometry } from '../degradation.js';
import { required } from '../degradation.js';
import { cumulativeFades, fixedCentre, squaredDistances } from '../fade.js';
import { blend, planeAt } from '../per-image.js';

/** alpha_s, s = 0..T: K_s growing from the centre, or 1 - K_{T-s} closing in from the border; 1 at s = 0. */
function alphaTable(config: ColourMaskConfig, size: number): Float32Array {
  const area = size * size;
  const { steps, kernelStd, initialMask } = config;
  const products = cumulativeFades(
    { kernelStd, initialMask, constant: false },
    steps,
    squaredDistances(size, fixedCentre(size)),
  );
  if (!config.reverse) return Float32Array.from(products);
  const alphas = new Float32Array(products.length).fill(1, 0, area);
  for (let s = 1; s <= steps; s++)
    for (let p = 0; p < area; p++) alphas[s * area + p] = 1 - products[(steps - s) * area + p]!;
  return alphas;
}

export function createColourMask(config: ColourMaskConfig, geometry: ImageGeometry): Degradation {
  const { size, channels } = geometry;
  const apply: Degradation['apply'] = (x0, severity, tables, context) =>
    blend(
      x0,
      tf.reshape(required(context, 'colour'), [-1, 1, 1, channels]),
      planeAt(required(tables, 'alpha'), severity),
    );
  return {
    family: 'colour-mask',
    steps: config.steps,
    geometry,
    tables: { alpha: { shape: [config.steps + 1, size, size], data: alphaTable(config, size) } },
    contextSpecs: { colour: { shape: [channels], dtype: 'float32' } },
    truncateStart: false,
    drawContext: (stream) => ({ colour: Float32Array.from({ length: channels }, () => stream.uniform() - 0.5) }),
    apply,
    applyInTraining: apply,
    describe: () => ({
      family: 'colour-mask',
      steps: config.steps,
      summary: `A constant colour ${config.reverse ? 'closes in from the border' : 'grows from the centre'} in ${config.steps} steps`,
    }),
  };
}
