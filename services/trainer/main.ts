/** The trainer process: configuration from the environment, then the machine in its shell until it has left the run. */
import {
  LeasedShards,
  ShardCache,
  bindRunSets,
  loadRunSets,
  stepsPerEpoch,
  trainSchedule,
  type ReadSet,
} from '@thaw/shared/data';
import { networkWeightSpecs } from '@thaw/shared/model';
import { checkpointSliceCount, deriveTimings, laneCount, recomputeOf } from '@thaw/shared/protocol';
import { announceReady, Progress, runService, startService } from '@thaw/shared/runtime';
import { loadRun, openStore } from '@thaw/shared/storage';
import { connectBulk, connectControl } from '@thaw/shared/transport';
import { TrainerConfigSchema } from './config.js';
import { CheckpointCopy } from './io/checkpoint-copy.js';
import { TrainerGauges } from './io/gauges.js';
import { LaneEngine } from './io/lane-engine.js';
import { LaneRunner } from './io/lane-runner.js';
import { LaneSource } from './io/lane-source.js';
import { TrainerShell } from './io/shell.js';
import { loadNewestState } from './io/state-loader.js';
import { allocateArrays, weightViews, type StateLayout } from './state/official-order.js';
import { Trainer } from './member/index.js';
import { simdKernels } from './kernels/index.js';
import { createLayout } from './reduce/index.js';

/** A trainer without a step for so long is reported as not ready. */
const stepLimitMs = 10 * 60_000;

/** Weights, average, moments and totals of two steps; the rest is for the probe. */
const kernelBytes = (valueCount: number): number => 4 * valueCount * 6 + (4 << 20);

async function main(): Promise<void> {
  const service = await startService('trainer', TrainerConfigSchema);
  const { config, id, clock, logger, lifecycle, health, metrics, operationsUrl } = service;

  const store = await openStore(config.storeUrl);
  const { config: run, targetSteps } = await loadRun(store, config.run);
  const sets = await loadRunSets(store, run);
  await bindRunSets(store, run, sets);
  const { own, partners } = sets;
  const lanes = laneCount(run);
  const progress = new Progress({ what: 'No step was applied', limitMs: stepLimitMs, nowMs: clock.nowMs() });
  health.register('steps', 'ready', progress.check);
  const recompute = recomputeOf(config.recompute);
  const engine = await LaneEngine.open(run, config.engine, config.workers, recompute);
  lifecycle.onStop('engine', () => engine.close());
  const layout = createLayout(engine.weights, lanes);
  const kernels = simdKernels({ capacityBytes: kernelBytes(layout.valueCount) });
  const fingerprint = await engine.fingerprint(kernels);
  const { reason, kind, blockedConv } = engine.engine.describe();
  logger.info('Engine ready', {
    engine: kind,
    reason,
    blockedConv,
    recompute,
    fingerprint: fingerprint.sha256,
    ...fingerprint.fields,
  });

  const schedule = trainSchedule(own.manifest, own.order);
  const state: StateLayout = {
    layout,
    weights: engine.weights,
    specs: networkWeightSpecs(run.network, run.data),
    stepsPerEpoch: stepsPerEpoch(schedule),
  };
  const arrays = allocateArrays(layout, kernels);
  const credentials = { token: config.natsToken, user: config.natsUser, pass: config.natsPassword };
  const onError = (error: unknown): void => logger.warn('Link error', { err: error });
  const control = await connectControl(config.natsUrl, { name: id, ...credentials, onError });
  const bulk = await connectBulk(config.natsUrl, { name: `${id}-bulk`, ...credentials, onError });
  lifecycle.onStop('links', async () => {
    await bulk.flush();
    await Promise.all([bulk.close(), control.close()]);
  });

  const cache = await ShardCache.open({ folder: config.cacheDir, maxBytes: config.cacheBytes });
  const shardsOf = ({ manifest, order: { seed, microBatch, of } }: ReadSet): LeasedShards =>
    new LeasedShards({ store, manifest, seed, of, microBatch, cache, logger });
  const source = new LaneSource(shardsOf(own), run, partners && shardsOf(partners));
  lifecycle.onStop('leased shards', () => source.close());
  let left: (code: number) => void = () => {};
  const ended = new Promise<number>((resolve) => (left = resolve));
  const machine = new Trainer({
    run: run.name,
    id,
    fingerprint: fingerprint.sha256,
    layout,
    laneCount: lanes,
    steps: targetSteps,
    optimizer: run.optimizer,
    ema: run.ema,
    maxSkippedSteps: run.maxSkippedSteps,
    checkpointEverySteps: run.checkpoint.everySteps,
    timings: deriveTimings(config.heartbeatMs),
    arrays,
    kernels,
  });
  const gauges = new TrainerGauges(metrics, clock, progress, bulk);
  const shell = new TrainerShell({
    run: run.name,
    id,
    machine,
    control,
    bulk,
    store,
    source,
    checkpoint: new CheckpointCopy(store, state, checkpointSliceCount(run)),
    loadState: () => loadNewestState(store, run, state, logger),
    clock,
    logger,
    gauges,
    heartbeatMs: config.heartbeatMs,
    onEnd: (code, why) => {
      left(code);
      void lifecycle.stop(why, code);
    },
  });
  lifecycle.onStop('leave the run', async () => {
    shell.dispatch({ kind: 'leave' });
    await ended;
  });
  shell.start(
    new LaneRunner({
      engine,
      layout,
      source,
      weights: weightViews(state, arrays.weights),
      nowMs: () => clock.nowMs(),
      dispatch: (event) => {
        if (event.kind === 'laneDone') gauges.laneComputed(event.computeMs);
        shell.dispatch(event);
      },
    }),
  );
  announceReady(operationsUrl, { id, engine: kind, engineReason: reason, fingerprint: fingerprint.sha256 });
}

runService(main);
