/** The one network call of sampling, for any mixture of algorithms: what is due for each row is chosen afterwards. */
import {
  algorithm2Program,
  degradationProgram,
  estimatedNoiseProgram,
  restorationProgram,
  type Degradation,
} from '@thaw/shared/diffusion';
import type { ProgramDefinition } from '@thaw/shared/engine';
import type { RunConfig } from '@thaw/shared/protocol';

/**
 * Inputs `x` (x_s) [B, H, W, C], `t` [B] float32 (s - 1), `severity` (s) and `nextSeverity` (s') [B] int32, tables, contexts.
 * Outputs `restored` (x̂0), `degraded` (D(x̂0, s')), `next` (x_s - D(x̂0, s) + D(x̂0, s')), and `renoised` (estimated
 * noise) where the degradation has it.
 */
export function samplingProgram(run: RunConfig, batch: number, degradation: Degradation): ProgramDefinition {
  const restoration = restorationProgram(run, batch);
  const algorithm2 = algorithm2Program(run, batch, degradation);
  const degrade = degradationProgram(run, batch, degradation);
  const renoise = estimatedNoiseProgram(run, batch, degradation);
  const { restored: _, ...updateInputs } = algorithm2.inputs;
  return {
    name: 'sampling',
    weights: restoration.weights,
    inputs: { ...restoration.inputs, ...updateInputs },
    fn: (weights, inputs) => {
      const { restored } = restoration.fn(weights, inputs);
      const { next } = algorithm2.fn({}, { ...inputs, restored: restored! });
      const { degraded } = degrade.fn({}, { ...inputs, x0: restored!, severity: inputs.nextSeverity! });
      const renoised = renoise?.fn({}, { ...inputs, restored: restored! });
      return { restored: restored!, degraded: degraded!, next: next!, ...renoised };
    },
  };
}
