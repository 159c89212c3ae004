/** Removes old checkpoints of the run, and blobs that nothing names any more, while this coordinator leads. */
import type { Clock, Logger } from '@thaw/shared/runtime';
import { checkpointsOfOpenJobs, collectGarbage, type CollectReport, type ObjectStore } from '@thaw/shared/storage';

export interface RetentionOptions {
  /** Only its checkpoints are removed; those of other runs in the same store are their coordinators' business. */
  readonly run: string;
  readonly store: ObjectStore;
  readonly clock: Clock;
  readonly logger: Logger;
  /** The newest n checkpoints stay; 0: nothing is ever removed. */
  readonly keepLast: number;
  /** Checkpoints at multiples of this step stay; 0: none for that reason. */
  readonly keepEverySteps: number;
  /** Nothing written more recently is removed. Longer than the writing of a checkpoint and the difference between clocks. */
  readonly graceMs: number;
}

export class Retention {
  readonly #options: RetentionOptions;
  #nextMs = -Infinity;
  #leads = false;
  #stopped = false;
  #running: Promise<void> | undefined;

  constructor(options: RetentionOptions) {
    this.#options = options;
  }

  /** Two leaders collecting at once would be harmless, and wasted work. */
  leads(leads: boolean): void {
    this.#leads = leads;
  }

  /**
   * A checkpoint was committed. Collects if the last time is long enough ago: little becomes removable within a sixth of
   * the grace period, and a collection lists every blob.
   */
  committed(): void {
    const { clock, keepLast, graceMs } = this.#options;
    const nowMs = clock.nowMs();
    if (keepLast === 0 || !this.#leads || this.#stopped || this.#running !== undefined || nowMs < this.#nextMs) return;
    this.#nextMs = nowMs + graceMs / 6;
    this.#running = this.#collect().finally(() => (this.#running = undefined));
  }

  /** Resolves when no collection is under way; none is begun any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.idle();
  }
  async idle(): Promise<void> {
    await this.#running;
  }

  /** A failure costs disk space and nothing else; the next commit tries again. */
  async #collect(): Promise<void> {
    const { run, store, clock, logger, keepLast, keepEverySteps, graceMs } = this.#options;
    try {
      const report: CollectReport = await collectGarbage(store, {
        policy: { keepLast, ...(keepEverySteps === 0 ? {} : { keepEvery: keepEverySteps }) },
        runs: [run],
        inUse: await checkpointsOfOpenJobs(store),
        nowMs: clock.wallTimeMs(),
        graceMs,
        dryRun: false,
      });
      if (report.removedCheckpoints.length > 0 || report.removedBlobs.length > 0)
        logger.info('Old checkpoints removed', {
          steps: report.removedCheckpoints.map(({ step }) => step),
          blobs: report.removedBlobs.length,
          bytes: report.removedBytes,
        });
    } catch (err) {
      logger.warn('Old checkpoints could not be removed', { err });
    }
  }
}
