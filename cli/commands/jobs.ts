/** `thaw jobs remove`: what the coordinator of a run does by itself, now and with another age. */
import { NameSchema, ThawError } from '@thaw/shared/protocol';
import { collectJobs, openStore, type CollectJobsReport } from '@thaw/shared/storage';

export async function removeJobs(
  storeUrl: string,
  options: { readonly olderThanHours: number; readonly run?: string; readonly dryRun: boolean },
): Promise<CollectJobsReport> {
  const { run, dryRun, olderThanHours } = options;
  if (run !== undefined && !NameSchema.safeParse(run).success)
    throw new ThawError('THAW_RUN_NOT_FOUND', `There is no run ${JSON.stringify(run.slice(0, 100))}.`);
  const keepMs = olderThanHours * 3_600_000;
  return collectJobs(await openStore(storeUrl), { run, nowMs: Date.now(), keepMs, dryRun });
}
