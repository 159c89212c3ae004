/**
 * Adam (Kingma and Ba, arXiv 1412.6980) as PyTorch computes it, on flat fp32 arrays: double arithmetic, fp32 storage, only + - * / and
 * square root, so the bits are the same on every machine.
 */
import type { RunConfig } from '@thaw/shared/protocol';

export interface AdamArrays {
  readonly weights: Float32Array;
  readonly firstMoment: Float32Array;
  readonly secondMoment: Float32Array;
}

/** Numbers of one update. */
export interface AdamUpdate {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  /** learning rate / (1 - beta1^t). */
  readonly stepSize: number;
  /** sqrt(1 - beta2^t). */
  readonly secondMomentScale: number;
}

/** Learning rate of step k (from 0), with linear warm-up. */
export function learningRateOf(config: RunConfig['optimizer'], step: number): number {
  const { learningRate, warmupSteps } = config;
  return step + 1 < warmupSteps ? (learningRate * (step + 1)) / warmupSteps : learningRate;
}

/**
 * @param beta1Product beta1^t, where t counts this update; kept as a running product
 * @param beta2Product beta2^t
 */
export function adamUpdateOf(
  config: RunConfig['optimizer'],
  step: number,
  beta1Product: number,
  beta2Product: number,
): AdamUpdate {
  return {
    beta1: config.beta1,
    beta2: config.beta2,
    epsilon: config.epsilon,
    stepSize: learningRateOf(config, step) / (1 - beta1Product),
    secondMomentScale: Math.sqrt(1 - beta2Product),
  };
}

/** Updates the values [start, end) in place; `gradient[gradientOffset + i]` belongs to value `start + i`. */
export function adamRange(
  arrays: AdamArrays,
  start: number,
  end: number,
  gradient: Float32Array,
  gradientOffset: number,
  update: AdamUpdate,
): void {
  const { weights, firstMoment, secondMoment } = arrays;
  const { beta1, beta2, epsilon, stepSize, secondMomentScale } = update;
  const rest1 = 1 - beta1;
  const rest2 = 1 - beta2;
  const shift = gradientOffset - start;
  for (let i = start; i < end; i++) {
    const g = gradient[i + shift]!;
    const m = Math.fround(beta1 * firstMoment[i]! + rest1 * g);
    const v = Math.fround(beta2 * secondMoment[i]! + rest2 * g * g);
    firstMoment[i] = m;
    secondMoment[i] = v;
    weights[i] = weights[i]! - (stepSize * m) / (Math.sqrt(v) / secondMomentScale + epsilon);
  }
}
