/** Jobs that were accepted and are not over, but that nobody alive keeps: whoever sees them first keeps them. */
import type { JobSpec } from '@thaw/shared/protocol';
import type { Clock, Logger } from '@thaw/shared/runtime';
import type { JobStore } from './job-store.js';

export interface AdoptionWorld {
  readonly name: string;
  readonly jobs: JobStore;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Whether silence already means death. Jobs that were freed are taken in any case. */
  readonly judging: boolean;
  keeps(job: string): boolean;
  lives(sampler: string): boolean;
  /** @param done rows whose results are stored */
  keep(spec: JobSpec, done: readonly number[]): void;
}

/** An open mark without a specification is what a crash before acceptance left; it is removed after this time. */
const abandonedMs = 120_000;

/** Compare-and-swap on a job's mark decides between several heirs. */
export async function takeOverOpenJobs(world: AdoptionWorld): Promise<void> {
  const { name, jobs, clock, logger } = world;
  for (const { id, modifiedMs } of await jobs.openJobs()) {
    if (world.keeps(id)) continue;
    const mark = await jobs.keeper(id);
    if (mark === undefined || (mark.keeper !== '' && (!world.judging || world.lives(mark.keeper)))) continue;
    const spec = await jobs.spec(id);
    if (spec === undefined) {
      if (clock.wallTimeMs() - modifiedMs > abandonedMs) await jobs.close(id);
      continue;
    }
    if ((await jobs.end(id)) !== undefined) {
      await jobs.close(id);
      continue;
    }
    if (world.keeps(id) || !(await jobs.takeOver(id, name, clock.wallTimeMs(), mark.etag))) continue;
    logger.info('Keeping a job that was left behind', { job: id, before: mark.keeper });
    world.keep(spec, [...(await jobs.doneRows(spec))]);
  }
}
