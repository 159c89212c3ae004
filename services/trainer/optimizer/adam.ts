/**
 * Adam (Kingma and Ba, arXiv 1412.6980) as PyTorch's fused kernel computes it, on flat fp32 arrays: every operation is an fp32 operation
 * in a fixed order, only + - * / and square root, so the bits are the same on every machine and in the SIMD kernel (`kernels/`). Scalars
 * of a step (learning rate, bias corrections) are doubles, rounded once.
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

/** The same numbers as fp32 factors of the loop. */
export interface AdamFactors {
  readonly beta1: number;
  /** 1 - beta1. */
  readonly rest1: number;
  readonly beta2: number;
  /** 1 - beta2. */
  readonly rest2: number;
  readonly stepSize: number;
  /** 1 / sqrt(1 - beta2^t). */
  readonly rootScale: number;
  readonly epsilon: number;
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

export const adamFactorsOf = ({ beta1, beta2, epsilon, stepSize, secondMomentScale }: AdamUpdate): AdamFactors => ({
  beta1: Math.fround(beta1),
  rest1: Math.fround(1 - beta1),
  beta2: Math.fround(beta2),
  rest2: Math.fround(1 - beta2),
  stepSize: Math.fround(stepSize),
  rootScale: Math.fround(1 / secondMomentScale),
  epsilon: Math.fround(epsilon),
});

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
  const { beta1, rest1, beta2, rest2, stepSize, rootScale, epsilon } = adamFactorsOf(update);
  const shift = gradientOffset - start;
  const { fround } = Math;
  for (let i = start; i < end; i++) {
    const g = gradient[i + shift]!;
    const m = fround(fround(beta1 * firstMoment[i]!) + fround(rest1 * g));
    const v = fround(fround(beta2 * secondMoment[i]!) + fround(fround(rest2 * g) * g));
    firstMoment[i] = m;
    secondMoment[i] = v;
    const root = fround(fround(Math.sqrt(v)) * rootScale);
    weights[i] = fround(weights[i]! - fround(fround(stepSize * m) / fround(root + epsilon)));
  }
}
