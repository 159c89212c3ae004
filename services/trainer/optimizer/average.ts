/** Exponential moving average of the weights, as the official code keeps it (reference section 4). */
import type { RunConfig } from '@thaw/shared/protocol';

/**
 * Looks at the average after the update of `step` (from 0): every `every` steps; a copy of the weights before `startStep`, from then on
 * average = decay * average + (1 - decay) * weights.
 */
export function updateAverage(ema: Float32Array, weights: Float32Array, step: number, config: RunConfig['ema']): void {
  if (step % config.every !== 0) return;
  if (step < config.startStep) {
    ema.set(weights);
    return;
  }
  const { decay } = config;
  const rest = 1 - decay;
  for (let i = 0; i < ema.length; i++) ema[i] = decay * ema[i]! + rest * weights[i]!;
}
