/** What a trainer tells Prometheus and its health endpoint. */
import type { StepResult } from '@thaw/shared/protocol';
import type { Clock, Metrics, Progress } from '@thaw/shared/runtime';
import type { BulkLink } from '@thaw/shared/transport';

/** Upper bounds of the lane histogram, s: from a toy network to a large one on a slow core. */
const laneSecondsBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

export class TrainerGauges {
  readonly #clock: Clock;
  readonly #progress: Progress;
  readonly #step;
  readonly #applied;
  readonly #skipped;
  readonly #lanes;
  readonly #laneSeconds;

  constructor(metrics: Metrics, clock: Clock, progress: Progress, bulk: Pick<BulkLink, 'stats'>) {
    this.#clock = clock;
    this.#progress = progress;
    this.#step = metrics.gauge('trainer_step', { help: 'Boundary whose state this trainer holds.' });
    this.#applied = metrics.counter('trainer_steps_applied_total', { help: 'Steps applied by this process.' });
    this.#skipped = metrics.counter('trainer_steps_skipped_total', {
      help: 'Steps without an update because a gradient was not finite.',
    });
    this.#lanes = metrics.counter('trainer_lanes_computed_total', { help: 'Lanes computed by this process.' });
    this.#laneSeconds = metrics.histogram('trainer_lane_seconds', {
      help: 'Seconds from the samples of a lane to its gradient, in the engine and in its queue.',
      buckets: laneSecondsBuckets,
    });
    const traffic = (what: 'sent' | 'received', bytes: () => number): void => {
      const help = `Payload bytes ${what} over the bulk link: contributions, totals, snapshots.`;
      metrics.counterOf(`trainer_bulk_bytes_${what}_total`, { help }, bytes);
    };
    traffic('sent', () => bulk.stats().bytesOut);
    traffic('received', () => bulk.stats().bytesIn);
  }

  /** A lane was computed, in `computeMs`, and handed to the machine. */
  laneComputed(computeMs: number): void {
    this.#lanes.inc();
    this.#laneSeconds.observe(computeMs / 1000);
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
