/** What a trainer tells Prometheus and its health endpoint. */
import type { StepResult } from '@thaw/shared/protocol';
import type { Clock, Metrics, Progress } from '@thaw/shared/runtime';

export class TrainerGauges {
  readonly #clock: Clock;
  readonly #progress: Progress;
  readonly #step;
  readonly #applied;
  readonly #skipped;
  readonly #lanes;

  constructor(metrics: Metrics, clock: Clock, progress: Progress) {
    this.#clock = clock;
    this.#progress = progress;
    this.#step = metrics.gauge('trainer_step', { help: 'Boundary whose state this trainer holds.' });
    this.#applied = metrics.counter('trainer_steps_applied_total', { help: 'Steps applied by this process.' });
    this.#skipped = metrics.counter('trainer_steps_skipped_total', {
      help: 'Steps without an update because a gradient was not finite.',
    });
    this.#lanes = metrics.counter('trainer_lanes_computed_total', { help: 'Lanes computed by this process.' });
  }

  /** A lane was computed and handed to the machine. */
  laneComputed(): void {
    this.#lanes.inc();
  }

  step(step: number): void {
    this.#step.set(step);
    this.#progress.mark(this.#clock.nowMs());
  }

  applied(result: StepResult, step: number): void {
    this.step(step);
    this.#applied.inc();
    if (result.skippedLanes.length > 0) this.#skipped.inc();
  }

  finished(): void {
    this.#progress.pause('The run is complete.');
  }
}
