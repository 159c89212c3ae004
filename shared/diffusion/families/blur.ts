/**
 * Gaussian blur (section 2.2 of the reference): a chain of depthwise convolutions, here one precomposed matrix per axis and
 * severity. `discrete`: the last severity is the spatial mean, and the network's input is truncated to 8 bits in training.
 */
import type { Tensor3D } from '@tensorflow/tfjs-core';
import { exactExp } from '../../model/index.js';
import type { BlurConfig } from '../../protocol/index.js';
import { blurPadding, blurTaps, linearSigma } from '../../protocol/index.js';
import { applyAxisOperator, composeAxisOperators } from '../axis-operator.js';
import type { Degradation, ImageGeometry, Table } from '../degradation.js';
import { required, truncateTo8Bits } from '../degradation.js';
import { gaussianWindow, meanRowMap, windowRowMap } from '../window.js';

interface BlurStep {
  readonly taps: number;
  readonly sigma: number;
}

/** Window of step i. */
export function blurStep(config: BlurConfig, index: number): BlurStep {
  const { kernelStd: std } = config;
  const taps = blurTaps(config, index);
  switch (config.routine) {
    case 'Incremental':
      return { taps, sigma: std * (index + 1) };
    case 'Constant':
    case 'Constant_reflect':
      return { taps, sigma: std };
    case 'Exponential':
    case 'Exponential_reflect':
      return { taps, sigma: exactExp(std * index) };
    case 'Special_6_routine':
      return { taps, sigma: 0.35 + index / 100 };
    case 'Individual_Incremental':
      return { taps, sigma: 2 * (2 * index + 1) };
    case 'Linear_Accum_Std':
    case 'Linear_Dec_Std':
      return { taps, sigma: linearSigma(config, index)! };
  }
}

function chainedOperators(config: BlurConfig, size: number): Table {
  const padding = blurPadding(config);
  return composeAxisOperators(size, config.steps, (index) => {
    const { taps, sigma } = blurStep(config, index);
    const convolve = windowRowMap(gaussianWindow(taps, sigma), size, padding);
    if (!config.discrete || index !== config.steps - 1) return convolve;
    const mean = meanRowMap(size);
    return (rows) => mean(convolve(rows));
  });
}

/** The samplers of `Individual_Incremental` apply the one window of the severity to the clean image; training chains all of them. */
function singleOperators(chained: Table, config: BlurConfig, size: number): Table {
  const data = chained.data.slice();
  const area = size * size;
  const identity = Float64Array.from(data.subarray(0, area));
  for (let s = 1; s <= config.steps; s++) {
    if (config.discrete && s === config.steps) continue;
    const { taps, sigma } = blurStep(config, s - 1);
    data.set(windowRowMap(gaussianWindow(taps, sigma), size, 'circular')(identity), s * area);
  }
  return { shape: chained.shape, data };
}

function summary(config: BlurConfig): string {
  const first = blurStep(config, 0);
  const last = blurStep(config, config.steps - 1);
  const range = (from: number, to: number): string => (from === to ? `${from}` : `${from} to ${to}`);
  const sigmas = range(Number(first.sigma.toPrecision(3)), Number(last.sigma.toPrecision(3)));
  const end = config.discrete ? ', the last step is the mean colour' : '';
  return `Gaussian blur in ${config.steps} steps, ${range(first.taps, last.taps)} taps, sigma ${sigmas}, ${blurPadding(config)} border${end}`;
}

export function createBlur(config: BlurConfig, geometry: ImageGeometry): Degradation {
  const chained = chainedOperators(config, geometry.size);
  const tables: Record<string, Table> =
    config.routine === 'Individual_Incremental'
      ? { blur: singleOperators(chained, config, geometry.size), 'blur-training': chained }
      : { blur: chained };
  const trainingTable = 'blur-training' in tables ? 'blur-training' : 'blur';
  return {
    family: 'blur',
    steps: config.steps,
    geometry,
    tables,
    contextSpecs: {},
    truncateStart: false,
    drawContext: () => ({}),
    apply: (x0, severity, given) => applyAxisOperator(x0, required<Tensor3D>(given, 'blur'), severity),
    applyInTraining: (x0, severity, given) => {
      const blurred = applyAxisOperator(x0, required<Tensor3D>(given, trainingTable), severity);
      return config.discrete ? truncateTo8Bits(blurred) : blurred;
    },
    describe: () => ({ family: 'blur', steps: config.steps, summary: summary(config) }),
  };
}
