/**
 * Super-resolution (section 2.5 of the reference): step i shrinks the image to n x n and enlarges it again, chained; here one
 * precomposed matrix per axis and severity.
 */
import type { Tensor3D } from '@tensorflow/tfjs-core';
import type { SuperResolutionConfig } from '../../protocol/index.js';
import { shrunkSize } from '../../protocol/index.js';
import type { RowMap } from '../axis-operator.js';
import { applyAxisOperator, composeAxisOperators } from '../axis-operator.js';
import type { Degradation, ImageGeometry } from '../degradation.js';
import { required } from '../degradation.js';
import { area, bicubic, bilinear, nearestSource } from '../resize-taps.js';
import type { Shrinking } from '../resize-taps.js';
import { gaussianWindow, windowRowMap } from '../window.js';

function resizeRowMap(size: number, small: number, shrinking: Shrinking): RowMap {
  const taps = Array.from({ length: size }, (_, output) => shrinking(size, small, nearestSource(size, small, output)));
  return (rows) => {
    const out = new Float64Array(size * size);
    taps.forEach((sources, i) => {
      for (const [source, weight] of sources)
        for (let j = 0; j < size; j++) out[i * size + j]! += weight * rows[source * size + j]!;
    });
    return out;
  };
}

const shrinkingOf = (config: SuperResolutionConfig): Shrinking =>
  config.routine.includes('bilinear') ? bilinear : config.routine.includes('area') ? area : bicubic;

export function createSuperResolution(config: SuperResolutionConfig, geometry: ImageGeometry): Degradation {
  const { size } = geometry;
  const smallest = shrunkSize(config, size, config.steps - 1);
  const withBlur = config.routine.endsWith('with_blur');
  const soften = windowRowMap(gaussianWindow(3, 0.5), size, 'reflect');
  const operators = composeAxisOperators(size, config.steps, (index) => {
    const resize = resizeRowMap(size, shrunkSize(config, size, index), shrinkingOf(config));
    return withBlur ? (rows) => soften(resize(soften(rows))) : resize;
  });
  const apply: Degradation['apply'] = (x0, severity, tables) =>
    applyAxisOperator(x0, required<Tensor3D>(tables, 'resize'), severity);
  return {
    family: 'super-resolution',
    steps: config.steps,
    geometry,
    tables: { resize: operators },
    contextSpecs: {},
    truncateStart: false,
    drawContext: () => ({}),
    apply,
    applyInTraining: apply,
    describe: () => ({
      family: 'super-resolution',
      steps: config.steps,
      summary: `Lower resolution in ${config.steps} steps (${config.routine}), down to ${smallest} x ${smallest} pixels`,
    }),
  };
}
