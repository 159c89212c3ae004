/** Exponential moving average of the weights, as the official code keeps it (reference section 4), in fp32 operations. */
import type { RunConfig } from '@thaw/shared/protocol';

/** What the update of `step` (from 0) does to the average: every `every` steps; a copy of the weights before `startStep`. */
export type AverageUpdate =
  | { readonly kind: 'none' }
  | { readonly kind: 'copy' }
  /** average = decay * average + rest * weights; both factors fp32. */
  | { readonly kind: 'blend'; readonly decay: number; readonly rest: number };

export function averageUpdateOf(config: RunConfig['ema'], step: number): AverageUpdate {
  if (step % config.every !== 0) return { kind: 'none' };
  if (step < config.startStep) return { kind: 'copy' };
  return { kind: 'blend', decay: Math.fround(config.decay), rest: Math.fround(1 - config.decay) };
}

/** Updates the values [start, end) of the average in place. */
export function averageRange(
  ema: Float32Array,
  weights: Float32Array,
  start: number,
  end: number,
  update: AverageUpdate,
): void {
  if (update.kind === 'none') return;
  if (update.kind === 'copy') {
    ema.set(weights.subarray(start, end), start);
    return;
  }
  const { decay, rest } = update;
  const { fround } = Math;
  for (let i = start; i < end; i++) ema[i] = fround(fround(decay * ema[i]!) + fround(rest * weights[i]!));
}

/** The whole average after the update of `step`. */
export function updateAverage(ema: Float32Array, weights: Float32Array, step: number, config: RunConfig['ema']): void {
  averageRange(ema, weights, 0, ema.length, averageUpdateOf(config, step));
}
