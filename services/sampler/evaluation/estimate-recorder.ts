/** All that an evaluation looks at of one image on its way from x_T to x_0. */
import { meanSquare, type Estimate, type StateError } from '@thaw/shared/evaluation';
import type { StepOutput } from '../ports.js';
import { advance, severityOf, type Trajectory } from '../trajectory/index.js';

export class EstimateRecorder {
  readonly #original: Float32Array;
  readonly #degraded: Float32Array;
  readonly #errors: StateError[] = [];
  #firstUpdate: Float32Array | undefined;
  #lastEstimate: Float32Array | undefined;

  /** @param degraded x_T; both [H, W, C] in [-1, 1] and not changed any more */
  constructor(original: Float32Array, degraded: Float32Array) {
    this.#original = original;
    this.#degraded = degraded;
  }

  /** To be told of every network call, from the first on. */
  called(before: Trajectory, output: StepOutput): void {
    this.#errors.push({
      severity: severityOf(before),
      state: meanSquare(before.x, this.#original),
      estimate: meanSquare(output.estimate, this.#original),
    });
    if (before.plan.severities.length > 1) this.#firstUpdate ??= advance(before, output).x;
    this.#lastEstimate = output.estimate;
  }

  /** @param end the trajectory at x_0 */
  estimate({ x, direct }: Trajectory): Estimate {
    return {
      original: this.#original,
      degraded: this.#degraded,
      direct: direct!,
      sampled: x,
      ...(this.#firstUpdate === undefined ? {} : { firstUpdate: this.#firstUpdate }),
      lastEstimate: this.#lastEstimate!,
      errors: this.#errors,
    };
  }
}
