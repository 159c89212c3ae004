/** `thaw up`: a real local cluster that packs MNIST, trains, promotes and serves; resumes where it was stopped. */
import { join } from 'node:path';
import type { Status } from '@thaw/coordinator';
import { ThawError } from '@thaw/shared/protocol';
import { checkpointKey } from '@thaw/shared/storage';
import { callJson, type ApiTarget } from '../cluster/api.js';
import { startLocalCluster } from '../cluster/local-cluster.js';
import { createProgress, type Progress } from '../terminal/progress.js';
import { printResult } from '../terminal/output.js';
import { assertNotHalted, pollMs, prepareLocalRun, progressText, sleep, untilSignal } from './local-run.js';
import { demoRunFile } from './run-file.js';
import { drawSamples } from './sample.js';

export interface UpOptions {
  readonly config?: string;
  readonly dir: string;
  readonly trainers: number;
  readonly samplers: number;
  readonly seed?: number;
  readonly steps?: number;
  readonly port: number;
  readonly engine: string;
  readonly recompute?: string;
  readonly logLevel: string;
  readonly broker: 'auto' | 'nats-server' | 'embedded';
  readonly exit: boolean;
  readonly json: boolean;
}

/** Follows the run until it is finished and its last checkpoint evaluated, or until `stopped` resolves. */
async function follow(
  targetOf: () => ApiTarget,
  progress: Progress,
  isStopped: () => boolean,
): Promise<Status | undefined> {
  let evaluated = -1;
  while (!isStopped()) {
    await sleep(pollMs);
    const status = await callJson<Status>(targetOf(), '/v1/status').catch(() => undefined);
    if (status === undefined) continue;
    progress.update({ done: status.step, total: status.steps, text: progressText(status) });
    const { evaluation } = status;
    if (evaluation !== undefined && evaluation.step > evaluated) {
      evaluated = evaluation.step;
      progress.say(
        `step ${evaluation.step}: Algorithm 2 on ${evaluation.count} test images: L1 ${evaluation.l1.ratio.toFixed(3)}, ` +
          `RMSE ${evaluation.rmse.ratio.toFixed(3)} of the best baseline`,
      );
    }
    assertNotHalted(status);
    const last = status.checkpoints.find((checkpoint) => checkpoint.step === status.step);
    if (status.state === 'finished' && last?.l1Ratio !== undefined && evaluation?.step === status.step) return status;
  }
  return undefined;
}

export async function up(options: UpOptions): Promise<void> {
  if (options.exit && options.samplers === 0)
    throw new ThawError(
      'THAW_CONFIG_INVALID',
      '--exit evaluates the last checkpoint and draws samples; --samplers 0 leaves nobody to do it.',
      {
        cure: 'Give --samplers 1 or more, or leave --exit out.',
      },
    );
  const progress = createProgress();
  const overrides = { seed: options.seed, steps: options.steps };
  const { run, dir } = await prepareLocalRun(options.config ?? demoRunFile(), options.dir, overrides, progress);
  progress.say(`Starting broker, coordinator, ${options.trainers} trainer(s), ${options.samplers} sampler(s) ...`);
  const cluster = await startLocalCluster({ ...options, dir, run: run.name, onIncident: progress.say });
  let stopped = false;
  const signal = untilSignal().then(() => (stopped = true));
  try {
    const { file } = cluster;
    progress.say(`Engine: ${cluster.engine}.`);
    progress.say(`Broker: ${file.broker.kind} ${file.broker.version}. Logs: ${join(dir, 'logs')}`);
    progress.say(
      `\n  Thaw is running: ${file.coordinator.url}/?token=${file.token}\n\n  Ctrl-C stops it; the same command goes on where it stopped.\n`,
    );
    // Asked for anew each time: a coordinator that was started again has another address.
    const target = (): ApiTarget => ({ url: cluster.file.coordinator.url, token: cluster.file.token });
    const finished = await Promise.race([
      follow(target, progress, () => stopped),
      signal.then(() => undefined),
      ...(options.exit ? [cluster.hopeless.then((error) => Promise.reject(error))] : []),
    ]);
    progress.end();
    if (finished !== undefined && options.exit) {
      printResult(
        await summary(finished, cluster.file, options, dir),
        options.json,
        () => `Finished ${finished.step} steps.`,
      );
    } else if (finished !== undefined) {
      progress.say(
        `The run is finished at step ${finished.step}; the page and the samplers stay up. Ctrl-C stops them.`,
      );
      await signal;
    }
  } finally {
    stopped = true;
    progress.end();
    progress.say('Stopping ...');
    await cluster.stop();
    progress.say('Stopped.');
  }
}

async function summary(
  status: Status,
  file: Parameters<typeof drawSamples>[0],
  options: UpOptions,
  dir: string,
): Promise<Record<string, unknown>> {
  const samples = await drawSamples(file, { count: 16, seed: options.seed ?? 0, out: join(dir, 'samples') });
  const checkpoint = status.checkpoints.find(({ step }) => step === status.step);
  const { l1 } = status.evaluation!;
  return {
    steps: status.step,
    trainers: options.trainers,
    lossFirst: status.lossFirst,
    lossLast: status.lossLast,
    baselineL1: Math.min(l1.degraded, l1.black, l1.mean),
    restoredL1: l1.sampled,
    imagesPerSecond: status.imagesPerSecond,
    weightsSha256: checkpoint?.weightsSha256,
    checkpoint: checkpointKey(status.run, status.step),
    samples: samples.files,
  };
}
