/** `thaw run create`: stores a run file after looking at everything that can be looked at. */
import { loadRunSets } from '@thaw/shared/data';
import { ThawError } from '@thaw/shared/protocol';
import { createRun, openStore, type StoredRun } from '@thaw/shared/storage';
import { readRunFile, type RunOverrides } from './run-file.js';

/**
 * Data sets that are packed already must fit the run; others may be packed later, the run's processes look again.
 * @throws ThawError THAW_CONFIG_INVALID, THAW_DATA_INVALID, THAW_RUN_CONFLICT
 */
export async function createRunFromFile(storeUrl: string, file: string, overrides: RunOverrides): Promise<StoredRun> {
  const run = readRunFile(file, overrides);
  const store = await openStore(storeUrl);
  try {
    await loadRunSets(store, run);
  } catch (error) {
    if (!(error instanceof ThawError && error.code === 'THAW_DATASET_NOT_FOUND')) throw error;
  }
  return createRun(store, run);
}
