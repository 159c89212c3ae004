/** Starting is the caller's; stopping in order, within a deadline, is here. */
import type { Clock, Timer } from './clock.js';
import type { Logger } from './logger.js';

export interface DrainStep {
  readonly name: string;
  readonly outcome: 'done' | 'failed' | 'late' | 'not started';
  readonly tookMs: number;
}
export interface DrainReport {
  readonly reason: string;
  /** Every step finished without error before the deadline. */
  readonly clean: boolean;
  readonly steps: readonly DrainStep[];
}

export interface LifecycleOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  /** From the first request to stop until the process exits whatever is left. */
  readonly deadlineMs: number;
  /** Ends the process. */
  readonly exit: (code: number) => void;
}

/** Exit codes of signals, 128 + number, as shells report them. */
const signalExitCodes: Readonly<Record<string, number>> = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 };

/**
 * Stops a process in order. Steps run one after the other, last registered first, so that a thing stops before what it
 * stands on. A failing step does not keep the others from running; at the deadline what is left is given up.
 */
export class Lifecycle {
  readonly #options: LifecycleOptions;
  readonly #steps: { name: string; run: (reason: string) => Promise<void> | void }[] = [];
  readonly #stopping = new AbortController();
  #drain: Promise<DrainReport> | undefined;

  constructor(options: LifecycleOptions) {
    this.#options = options;
  }

  /** Aborted as soon as the process is asked to stop; its reason says why. */
  get stopping(): AbortSignal {
    return this.#stopping.signal;
  }

  /** Registers what must be done before the process ends. After stopping has begun it is too late: throws. */
  onStop(name: string, run: (reason: string) => Promise<void> | void): void {
    if (this.#drain !== undefined) throw new Error(`"${name}" was registered after stopping had begun.`);
    this.#steps.push({ name, run });
  }

  /** Runs the steps; further calls get the same report. Does not exit. */
  drain(reason: string): Promise<DrainReport> {
    this.#drain ??= this.#runSteps(reason);
    return this.#drain;
  }

  /** Drains and exits: 0 when clean (or `code`), else 1. */
  async stop(reason: string, code = 0): Promise<void> {
    const report = await this.drain(reason);
    this.#options.exit(report.clean ? code : code === 0 ? 1 : code);
  }

  /** The first signal drains and exits; the second exits at once. */
  onSignal(signal: string): void {
    if (this.#drain === undefined) {
      void this.stop(signal);
      return;
    }
    this.#options.logger.warn('Second signal: exiting at once', { signal });
    this.#options.exit(signalExitCodes[signal] ?? 1);
  }

  async #runSteps(reason: string): Promise<DrainReport> {
    const { clock, logger, deadlineMs } = this.#options;
    logger.info('Stopping', { reason, deadlineMs });
    this.#stopping.abort(reason);
    let timer: Timer | undefined;
    let late = false;
    const deadline = new Promise<'late'>((resolve) => {
      timer = clock.setTimer(deadlineMs, () => {
        late = true;
        resolve('late');
      });
    });
    const steps: DrainStep[] = [];
    for (const { name, run } of [...this.#steps].reverse()) {
      if (late) {
        steps.push({ name, outcome: 'not started', tookMs: 0 });
        continue;
      }
      const startMs = clock.nowMs();
      const work = Promise.resolve()
        .then(() => run(reason))
        .then(
          () => 'done' as const,
          (err: unknown) => {
            logger.error('A step of stopping failed', { step: name, err });
            return 'failed' as const;
          },
        );
      steps.push({ name, outcome: await Promise.race([work, deadline]), tookMs: clock.nowMs() - startMs });
    }
    timer?.cancel();
    const clean = steps.every((step) => step.outcome === 'done');
    const unfinished = steps.filter((step) => step.outcome !== 'done');
    if (clean) logger.info('Stopped', { reason, steps });
    else logger.error('Stopped, but not everything in order', { reason, unfinished });
    return { reason, clean, steps };
  }
}
