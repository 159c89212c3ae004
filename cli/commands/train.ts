/** `thaw train`: trains a run file to a number of steps over as many sittings as it takes: a local cluster without samplers. */
import { join } from 'node:path';
import type { Status } from '@thaw/coordinator';
import { checkpointKey, newestCheckpoint, type ObjectStore } from '@thaw/shared/storage';
import { callJson, type ApiTarget } from '../cluster/api.js';
import { startLocalCluster } from '../cluster/local-cluster.js';
import { createProgress, type Progress } from '../terminal/progress.js';
import { assertNotHalted, pollMs, prepareLocalRun, progressText, sleep, untilSignal } from './local-run.js';

export interface TrainOptions {
  readonly dir: string;
  readonly trainers: number;
  readonly seed?: number;
  /** Those of the run file unless given. */
  readonly steps?: number;
  readonly engine: string;
  readonly recompute?: string;
  readonly logLevel: string;
  readonly broker: 'auto' | 'nats-server' | 'embedded';
}

export interface Trained {
  readonly run: string;
  /** stopped: a signal came first; the same command goes on from `step`. */
  readonly state: 'finished' | 'stopped';
  /** Of the newest checkpoint: what is kept. 0 if there is none. */
  readonly step: number;
  readonly steps: number;
  /** Means of the first and the last ten losses of the run, as last heard; null when there was nothing left to train. */
  readonly lossFirst: number | null;
  readonly lossLast: number | null;
  readonly imagesPerSecond: number | null;
  /** Key in the store of `dir`; null if there is no checkpoint. */
  readonly checkpoint: string | null;
  readonly weightsSha256: string | null;
}

/** Resolves once the run is finished and its last checkpoint stored, or once `isStopped`. */
async function follow(
  targetOf: () => ApiTarget,
  progress: Progress,
  isStopped: () => boolean,
  heard: (status: Status) => void,
): Promise<'finished' | 'stopped'> {
  while (!isStopped()) {
    const status = await callJson<Status>(targetOf(), '/v1/status').catch(() => undefined);
    if (status !== undefined) {
      heard(status);
      progress.update({ done: status.step, total: status.steps, text: progressText(status) });
      assertNotHalted(status);
      if (status.state === 'finished') return 'finished';
    }
    await sleep(pollMs);
  }
  return 'stopped';
}

/** @throws ThawError what preparing the run throws, THAW_CLUSTER_START, THAW_RUN_HALTED */
export async function train(runFile: string, options: TrainOptions): Promise<Trained> {
  const progress = createProgress();
  const overrides = { seed: options.seed, steps: options.steps };
  const { run, targetSteps, store, dir } = await prepareLocalRun(runFile, options.dir, overrides, progress);
  const before = await stored(store, run.name);
  if (before.step >= targetSteps) return { ...before, state: 'finished', steps: targetSteps, ...lossesOf(undefined) };
  let stopped = false;
  const signal = untilSignal().then(() => (stopped = true));
  const cluster = await startLocalCluster({
    ...options,
    dir,
    run: run.name,
    samplers: 0,
    evaluationImages: 0,
    port: 0,
    onIncident: progress.say,
  });
  let last: Status | undefined;
  let state: Trained['state'];
  try {
    const { broker } = cluster.file;
    progress.say(
      `Training ${run.name}. Engine: ${cluster.engine}.\nBroker: ${broker.kind} ${broker.version}. Logs: ${join(dir, 'logs')}\n` +
        'Ctrl-C saves and stops; the same command goes on where it stopped.',
    );
    const target = (): ApiTarget => ({ url: cluster.file.coordinator.url, token: cluster.file.token });
    state = await Promise.race([
      follow(
        target,
        progress,
        () => stopped,
        (status) => (last = status),
      ),
      signal.then((): 'stopped' => 'stopped'),
      cluster.hopeless.then((error) => Promise.reject(error)),
    ]);
  } finally {
    stopped = true;
    progress.end();
    progress.say('Saving and stopping ...');
    await cluster.stop();
  }
  return { ...(await stored(store, run.name)), state, steps: targetSteps, ...lossesOf(last) };
}

/** Read from the store when all processes are gone: what another sitting will find. */
async function stored(
  store: ObjectStore,
  run: string,
): Promise<Pick<Trained, 'run' | 'step' | 'checkpoint' | 'weightsSha256'>> {
  const newest = (await newestCheckpoint(store, run))?.manifest;
  if (newest === undefined) return { run, step: 0, checkpoint: null, weightsSha256: null };
  return {
    run,
    step: newest.step,
    checkpoint: checkpointKey(run, newest.step),
    weightsSha256: newest.weightsSha256 ?? null,
  };
}

const lossesOf = (status: Status | undefined): Pick<Trained, 'lossFirst' | 'lossLast' | 'imagesPerSecond'> => ({
  lossFirst: status?.lossFirst ?? null,
  lossLast: status?.lossLast ?? null,
  imagesPerSecond: status?.imagesPerSecond ?? null,
});

export function trainedText(trained: Trained): string {
  const { run, state, step, steps, checkpoint } = trained;
  const where = checkpoint === null ? 'Nothing is stored yet.' : `Checkpoint: ${checkpoint}`;
  return state === 'finished'
    ? `${run} is finished at step ${step}. ${where}`
    : `${run} is stopped at step ${step} of ${steps}. ${where}`;
}
