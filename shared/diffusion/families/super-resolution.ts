/**
 * Super-resolution (section 2.5 of the reference): step i shrinks the image to n x n and enlarges it again, chained; here one
 * precomposed matrix per axis and severity.
 */
import type { Tensor3D } from '@tensorflow/tfjs-core';
import type { SuperResolutionConfig } from '../../protocol/index.js';
import { ThawError } from '../../protocol/index.js';
import type { RowMap } from '../axis-operator.js';
import { applyAxisOperator, composeAxisOperators } from '../axis-operator.js';
import type { Degradation, ImageGeometry } from '../degradation.js';
import { required } from '../degradation.js';
import { gaussianWindow, windowRowMap } from '../window.js';

/** One output pixel of a shrinking: source index and weight. */
type Taps = readonly (readonly [source: number, weight: number])[];
type Shrinking = (size: number, small: number, output: number) => Taps;

/** Cubic convolution weight at distance x, A = -0.75 (PyTorch). */
function cubic(x: number): number {
  const a = -0.75;
  const d = Math.abs(x);
  if (d <= 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
  return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0;
}

const sourceOf = (size: number, small: number, output: number): number => ((output + 0.5) * size) / small - 0.5;

const bicubic: Shrinking = (size, small, output) => {
  const source = sourceOf(size, small, output);
  const first = Math.floor(source) - 1;
  return [0, 1, 2, 3].map((k) => [Math.min(Math.max(first + k, 0), size - 1), cubic(source - (first + k))]);
};

const bilinear: Shrinking = (size, small, output) => {
  const source = Math.max(sourceOf(size, small, output), 0);
  const low = Math.floor(source);
  return [
    [low, 1 - (source - low)],
    [Math.min(low + 1, size - 1), source - low],
  ];
};

const area: Shrinking = (size, small, output) => {
  const first = Math.floor((output * size) / small);
  const end = Math.ceil(((output + 1) * size) / small);
  return Array.from({ length: end - first }, (_, k) => [first + k, 1 / (end - first)]);
};

/** Nearest-exact source of an enlarged pixel, in float32 as PyTorch computes it. */
const nearestSource = (size: number, small: number, output: number): number =>
  Math.min(Math.floor(Math.fround((output + 0.5) * Math.fround(small / size))), small - 1);

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

/** Edge of the shrunk image at step i. */
export const shrunkSize = (config: SuperResolutionConfig, size: number, index: number): number =>
  config.routine.endsWith('factor_2') ? Math.floor(size / 2 ** (index + 1)) : size - index;

const shrinkingOf = (config: SuperResolutionConfig): Shrinking =>
  config.routine.includes('bilinear') ? bilinear : config.routine.includes('area') ? area : bicubic;

export function createSuperResolution(config: SuperResolutionConfig, geometry: ImageGeometry): Degradation {
  const { size } = geometry;
  const smallest = shrunkSize(config, size, config.steps - 1);
  if (smallest < 1)
    throw new ThawError(
      'THAW_DEGRADATION_INVALID',
      `degradation.steps: ${config.steps} steps of ${config.routine} leave nothing of an image of ${size} pixels`,
      {
        cure: `Use at most ${config.routine.endsWith('factor_2') ? Math.floor(Math.log2(size)) : size} steps.`,
      },
    );
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
