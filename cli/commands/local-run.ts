/** What `thaw up` and `thaw train` share: making a folder ready for a run, and saying how the run stands. */
import type { Status } from '@thaw/coordinator';
import { checkImagesFit, loadRunSets } from '@thaw/shared/data';
import { ThawError, type RunConfig } from '@thaw/shared/protocol';
import { createRun, openStore, type ObjectStore } from '@thaw/shared/storage';
import { storeUrlOf } from '../cluster/cluster-file.js';
import { assertFolderFree } from '../cluster/local-cluster.js';
import { makeFolder } from '../terminal/output-files.js';
import { formatSeconds, type Progress } from '../terminal/progress.js';
import { packMnist } from './data.js';
import { readRunFile, type RunOverrides } from './run-file.js';

export interface LocalRun {
  readonly run: RunConfig;
  /** Steps after which the run is complete: those asked for now, or more if they were asked for before. */
  readonly targetSteps: number;
  readonly store: ObjectStore;
  /** The folder, which exists now. */
  readonly dir: string;
}

/** Packs the demonstration's data set when it is absent. */
async function ensureDataset(store: ObjectStore, run: RunConfig, progress: Progress): Promise<void> {
  if ((await store.head(`datasets/${run.data.dataset}/manifest.json`)) !== undefined) return;
  if (run.data.dataset !== 'mnist')
    throw new ThawError('THAW_DATASET_NOT_FOUND', `The data set "${run.data.dataset}" is not in the object store.`);
  const { size } = run.data;
  checkImagesFit(run, { name: 'mnist', imageShape: [size, size, 1] }); // before they are packed
  progress.say('Packing MNIST (70,000 images) into shards ...');
  await packMnist(store, size, progress);
}

/**
 * Reads the run file and stores the run, or finds it stored already and goes on with it.
 * @throws ThawError THAW_DIR_BUSY, THAW_CONFIG_INVALID, THAW_DATASET_NOT_FOUND, THAW_DATA_INVALID, THAW_RUN_CONFLICT
 */
export async function prepareLocalRun(
  runFile: string,
  folder: string,
  overrides: RunOverrides,
  progress: Progress,
): Promise<LocalRun> {
  assertFolderFree(folder);
  const run = readRunFile(runFile, overrides);
  const dir = makeFolder(folder);
  const store = await openStore(storeUrlOf(dir));
  await ensureDataset(store, run, progress);
  await loadRunSets(store, run); // refuses images that do not fit
  const { targetSteps } = await createRun(store, run);
  return { run, targetSteps, store, dir };
}

export const untilSignal = (): Promise<void> =>
  new Promise((done) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => done());
  });

/** How often the coordinator is asked. */
export const pollMs = 500;
export const sleep = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

export function progressText(status: Status): string {
  const loss = status.lossLast === null ? '' : ` · loss ${status.lossLast.toFixed(4)}`;
  const eta = status.etaSeconds === null ? '' : ` · ${formatSeconds(status.etaSeconds)} left`;
  const trainers = `${status.trainers.length} trainer${status.trainers.length === 1 ? '' : 's'}`;
  return `step ${status.step} of ${status.steps}${loss} · ${status.imagesPerSecond.toFixed(1)} images/s${eta} · ${trainers}`;
}

/** @throws ThawError THAW_RUN_HALTED */
export function assertNotHalted(status: Status): void {
  if (status.state === 'halted') throw new ThawError('THAW_RUN_HALTED', `The run halted: ${status.reason}`);
}
