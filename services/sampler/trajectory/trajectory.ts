/** One image on its way from x_T to x_0: a value that each network call moves one severity on. Pure. */
import { samplingStep, type SamplingAlgorithm, type SamplingPlan, type SamplingStep } from '@thaw/shared/diffusion';
import type { RowContext, StepOutput, StepRow } from '../ports.js';

export interface Trajectory {
  readonly plan: SamplingPlan;
  /** Position in `plan.severities` of the next call; their number when finished. */
  readonly position: number;
  /** x_s at the present severity; x_0 when finished. Never changed in place. */
  readonly x: Float32Array;
  /** Direct restoration R(x_T, T - 1), known after the first call. */
  readonly direct?: Float32Array;
  readonly context: RowContext;
  /** What the state at a severity is mixed with, where that is drawn anew for each (Algorithm 1 with fresh noise). */
  readonly redraw?: ((severity: number) => RowContext) | undefined;
}

/** A trajectory at its beginning. `severities` fall, and 0 follows the last. */
export function beginTrajectory(
  sampler: SamplingAlgorithm,
  severities: readonly number[],
  start: Float32Array,
  context: RowContext,
  redraw?: Trajectory['redraw'],
): Trajectory {
  return { plan: { algorithm: sampler, severities }, position: 0, x: start, context, redraw };
}

/** A trajectory taken up again at a saved state. */
export function resumeTrajectory(
  sampler: SamplingAlgorithm,
  severities: readonly number[],
  saved: { readonly severity: number; readonly x: Float32Array; readonly direct: Float32Array },
  context: RowContext,
  redraw?: Trajectory['redraw'],
): Trajectory | undefined {
  const position = severities.indexOf(saved.severity);
  if (position < 0) return undefined;
  return { plan: { algorithm: sampler, severities }, position, x: saved.x, direct: saved.direct, context, redraw };
}

export const isFinished = (trajectory: Trajectory): boolean => trajectory.position >= trajectory.plan.severities.length;

/** Present severity: that of `x`. */
export const severityOf = (trajectory: Trajectory): number => trajectory.plan.severities[trajectory.position] ?? 0;

const stepOf = (trajectory: Trajectory): SamplingStep => {
  const step = samplingStep(trajectory.plan, trajectory.position);
  if (step === undefined) throw new Error('a finished trajectory has no next step');
  return step;
};

/** The row of the next network call. */
export function stepRow(trajectory: Trajectory): StepRow {
  const { severity, nextSeverity, update } = stepOf(trajectory);
  const { x, context, redraw } = trajectory;
  const mixed = update === 'degrade-estimate' ? redraw?.(nextSeverity) : undefined;
  return { x, severity, nextSeverity, context: mixed ?? context };
}

/** The trajectory after the call. */
export function advance(trajectory: Trajectory, output: StepOutput): Trajectory {
  const { update } = stepOf(trajectory);
  const states = {
    estimate: output.estimate,
    'degrade-estimate': output.degraded,
    improve: output.improved,
    renoise: output.renoised,
  };
  const x = states[update];
  if (x === undefined) throw new Error('the model has no update with estimated noise');
  const direct = trajectory.direct ?? output.estimate;
  return { ...trajectory, position: trajectory.position + 1, x, direct };
}
