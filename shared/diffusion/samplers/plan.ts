/**
 * Which network call and which update are due next on a trajectory x_T .. x_0: pure, per image, independent of batching, so that a
 * sampler can put rows of different severities into one call.
 */
import { ThawError } from '../../protocol/index.js';
import type { Degradation } from '../degradation.js';
import type { TrainRoutine } from '../loss.js';

/**
 * algorithm1: x_{s'} = D(x̂, s'). algorithm2: x_{s'} = x_s - D(x̂, s) + D(x̂, s'). direct: x_0 = R(x_T, T - 1).
 * ddim: D(x̂, s') with the noise estimated from x_s and x̂; for degradations that mix in noise only. step: x_{s-1} = R(x_s, s - 1),
 * for networks trained to say the next state or the way there (routines Step, Step_Gradient and Gradient_norm).
 */
export const samplingAlgorithms = ['algorithm1', 'algorithm2', 'direct', 'ddim', 'step'] as const;
export type SamplingAlgorithm = (typeof samplingAlgorithms)[number];

export interface SamplingPlan {
  readonly algorithm: SamplingAlgorithm;
  /** Severities at which the network is called, strictly falling, the first is that of the start image; 0 follows the last. */
  readonly severities: readonly number[];
}

/** How the next state comes from the present state x_s and the estimate x̂. */
export type SamplingUpdate = 'estimate' | 'degrade-estimate' | 'improve' | 'renoise';

/** One step of a trajectory: call R(x_s, stepIndex), then update. */
export interface SamplingStep {
  readonly severity: number;
  /** t = severity - 1, what the network is given. */
  readonly stepIndex: number;
  readonly nextSeverity: number;
  /**
   * estimate: x̂. degrade-estimate: D(x̂, nextSeverity). improve: x_s - D(x̂, severity) + D(x̂, nextSeverity). renoise: the state at
   * nextSeverity with the noise that x_s and x̂ imply.
   */
  readonly update: SamplingUpdate;
  readonly last: boolean;
}

/**
 * Severities T..1, or `count` of them spread evenly from T downwards.
 * @throws ThawError THAW_SAMPLING_INVALID when count is not an integer in 1..T.
 */
export function severitySequence(steps: number, count: number = steps): number[] {
  if (!Number.isInteger(count) || count < 1 || count > steps)
    throw new ThawError('THAW_SAMPLING_INVALID', `calls: ${count} severities were asked for, the model has ${steps}.`, {
      cure: `Ask for 1 to ${steps} severities.`,
    });
  return Array.from({ length: count }, (_, k) => Math.round((steps * (count - k)) / count));
}

/**
 * The plan of a trajectory.
 * @param options.steps T of the model
 * @param options.count number of network calls, default T; always 1 for direct
 * @throws ThawError THAW_SAMPLING_INVALID
 */
export function planSampling(options: { algorithm: SamplingAlgorithm; steps: number; count?: number }): SamplingPlan {
  const severities = options.algorithm === 'direct' ? [options.steps] : severitySequence(options.steps, options.count);
  return { algorithm: options.algorithm, severities };
}

/**
 * Refuses an algorithm that the degradation has no update for, or that the network was not trained for.
 * @throws ThawError THAW_SAMPLING_INVALID
 */
export function checkAlgorithm(
  algorithm: SamplingAlgorithm,
  degradation: Pick<Degradation, 'family' | 'estimateNext'>,
  routine: TrainRoutine = 'Final',
): void {
  const saysNext = ['Step', 'Step_Gradient', 'Gradient_norm'].includes(routine);
  if (saysNext !== (algorithm === 'step'))
    throw new ThawError(
      'THAW_SAMPLING_INVALID',
      `sampler: "${algorithm}" does not go with the run's trainRoutine "${routine}", whose network gives ${saysNext ? 'the next state or the way there' : 'the clean image'}.`,
      { cure: saysNext ? 'Use the sampler step.' : 'Use algorithm2, algorithm1, direct or ddim.' },
    );
  if (algorithm === 'ddim' && degradation.estimateNext === undefined)
    throw new ThawError(
      'THAW_SAMPLING_INVALID',
      `sampler: "ddim" estimates the noise of a mixture; the degradation "${degradation.family}" mixes in none.`,
      { cure: 'Use algorithm2, algorithm1 or direct.' },
    );
}

/** A plan on severities chosen by the caller: integers in 1..T, strictly falling; for `step` without gaps, down to 1. */
export function planSeverities(
  algorithm: SamplingAlgorithm,
  steps: number,
  severities: readonly number[],
): SamplingPlan {
  const valid =
    severities.length > 0 &&
    severities.every((s, k) => Number.isInteger(s) && s >= 1 && s <= steps && (k === 0 || s < severities[k - 1]!));
  if (!valid)
    throw new ThawError(
      'THAW_SAMPLING_INVALID',
      `severities: [${severities.slice(0, 10).join(', ')}] is not a falling sequence of integers in 1..${steps}`,
      {
        cure: `Give integers from ${steps} down to 1, each smaller than the one before.`,
      },
    );
  if (algorithm === 'step' && severities.some((s, k) => s !== severities.length - k))
    throw new ThawError(
      'THAW_SAMPLING_INVALID',
      `severities: the sampler step goes down one severity with each call; it cannot take ${severities.length} calls from severity ${severities[0]}.`,
      { cure: 'Leave the number of calls out.' },
    );
  return { algorithm, severities: algorithm === 'direct' ? severities.slice(0, 1) : [...severities] };
}

/** The step at `position` (0-based), or undefined when the trajectory is finished. */
export function samplingStep(plan: SamplingPlan, position: number): SamplingStep | undefined {
  const severity = plan.severities[position];
  if (severity === undefined) return undefined;
  const nextSeverity = plan.severities[position + 1] ?? 0;
  const last = nextSeverity === 0;
  if (plan.algorithm === 'step') return { severity, stepIndex: severity - 1, nextSeverity, update: 'estimate', last };
  if (plan.algorithm === 'algorithm2')
    return { severity, stepIndex: severity - 1, nextSeverity, update: 'improve', last };
  const between = plan.algorithm === 'ddim' ? 'renoise' : 'degrade-estimate';
  const update = last ? 'estimate' : between;
  return { severity, stepIndex: severity - 1, nextSeverity, update, last };
}
