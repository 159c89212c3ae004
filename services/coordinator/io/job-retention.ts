/** Removes old jobs of the run's samplers while this coordinator leads. */
import type { Clock, Logger } from '@thaw/shared/runtime';
import { collectJobs, type ObjectStore } from '@thaw/shared/storage';
import { Collection } from './collection.js';

export interface JobRetentionOptions {
  /** Only jobs on its checkpoints. */
  readonly run: string;
  readonly store: ObjectStore;
  readonly clock: Clock;
  readonly logger: Logger;
  /** How long a job stays after the last of it was written; 0: for ever. */
  readonly keepMs: number;
}

export class JobRetention {
  readonly #options: JobRetentionOptions;
  readonly #collection: Collection;

  constructor(options: JobRetentionOptions) {
    this.#options = options;
    this.#collection = new Collection(options.clock, () => this.#collect());
  }

  /** Called now and then by whoever leads. Collects if the last time is a sixth of the keeping time ago, or an hour. */
  lookAfter(): void {
    const { keepMs } = this.#options;
    if (keepMs > 0) this.#collection.begin(Math.min(keepMs / 6, 3_600_000));
  }

  /** Resolves when no collection is under way; none is begun any more. */
  stop(): Promise<void> {
    return this.#collection.stop();
  }
  idle(): Promise<void> {
    return this.#collection.idle();
  }

  async #collect(): Promise<void> {
    const { run, store, clock, logger, keepMs } = this.#options;
    try {
      const report = await collectJobs(store, { run, nowMs: clock.wallTimeMs(), keepMs, dryRun: false });
      const { removed, removedObjects: objects, removedBytes: bytes } = report;
      if (removed.length > 0) logger.info('Old jobs removed', { jobs: removed.length, objects, bytes });
    } catch (err) {
      logger.warn('Old jobs could not be removed', { err });
    }
  }
}
