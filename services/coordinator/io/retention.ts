/** Removes old checkpoints of the run, and blobs that nothing names any more, while this coordinator leads. */
import type { Clock, Logger } from '@thaw/shared/runtime';
import { checkpointsOfOpenJobs, collectGarbage, type CollectReport, type ObjectStore } from '@thaw/shared/storage';
import { Collection } from './collection.js';

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
  readonly #collection: Collection;
  #leads = false;

  constructor(options: RetentionOptions) {
    this.#options = options;
    this.#collection = new Collection(options.clock, () => this.#collect());
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
    const { keepLast, graceMs } = this.#options;
    if (keepLast > 0 && this.#leads) this.#collection.begin(graceMs / 6);
  }

  /** Resolves when no collection is under way; none is begun any more. */
  stop(): Promise<void> {
    return this.#collection.stop();
  }
  idle(): Promise<void> {
    return this.#collection.idle();
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
