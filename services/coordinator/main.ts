/** The coordinator process: leads the run, or stands by; serves the page and the API. */
import { fileURLToPath } from 'node:url';
import { leaseHorizon, leaseWindow, loadRunSets, stepsPerEpoch, trainSchedule } from '@thaw/shared/data';
import {
  ChannelMovedSchema,
  checkpointSliceCount,
  deriveTimings,
  encodeMessage,
  samplerSubjects,
} from '@thaw/shared/protocol';
import { announceReady, runService, startService } from '@thaw/shared/runtime';
import {
  checkStoreFitness,
  loadRun,
  newestCheckpoint,
  openStore,
  recordSigner,
  type CheckpointRef,
} from '@thaw/shared/storage';
import { connectControl, watchDisconnects } from '@thaw/shared/transport';
import { CoordinatorConfigSchema } from './config.js';
import {
  channelViews,
  checkpointViews,
  commitCheckpoint,
  loadHistory,
  storedEvaluations,
  storeHistory,
} from './io/checkpoints.js';
import { openHttpDoor } from './io/http.js';
import { samplerPlayground } from './io/playground.js';
import { Promotion } from './io/promotion.js';
import { Retention } from './io/retention.js';
import { CoordinatorShell } from './io/shell.js';
import { Coordinator, type CoordinatorEffect } from './lead/index.js';
import { RunView } from './views/run-view.js';
import type { StepPoint } from './views/status.js';

const refreshMs = 1000;
const broadcastMs = 250;

async function main(): Promise<void> {
  const service = await startService('coordinator', CoordinatorConfigSchema);
  const { config, id, clock, logger, lifecycle, health, metrics, operationsUrl } = service;

  const store = await openStore(config.storeUrl);
  const stored = await loadRun(store, config.run);
  const { config: run, targetSteps } = stored;
  await checkStoreFitness(store, id);
  const { own, partners } = await loadRunSets(store, run);
  const { manifest, order } = own;
  const readSets = partners === undefined ? [own] : [own, partners];
  const newest = await newestCheckpoint(store, run.name, (problem, step) =>
    logger.error('A checkpoint cannot be read', { step, problem: problem.message }),
  );
  let parent: CheckpointRef | null =
    newest === undefined ? null : { run: run.name, step: newest.manifest.step, manifestSha256: newest.manifestSha256 };
  const committedStep = newest?.manifest.step ?? null;

  const view = new RunView(
    {
      run: run.name,
      steps: targetSteps,
      laneCount: order.laneCount,
      globalBatch: run.batch.global,
      stepsPerEpoch: stepsPerEpoch(trainSchedule(manifest, order)),
    },
    await loadHistory(store, run.name, committedStep ?? 0),
  );
  view.startAt(committedStep ?? 0);
  for (const result of await storedEvaluations(store, run.name)) view.evaluated(result);

  const stepGauge = metrics.gauge('coordinator_step', { help: 'Committed optimizer steps of the run.' });
  const memberGauge = metrics.gauge('coordinator_members', { help: 'Trainers that compute lanes.' });
  const lossGauge = metrics.gauge('coordinator_loss', { help: 'Loss of the newest step.' });

  const credentials = { token: config.natsToken, user: config.natsUser, pass: config.natsPassword };
  const control = await connectControl(config.natsUrl, {
    name: id,
    ...credentials,
    onError: (err) => logger.warn('Link error', { err }),
  });
  lifecycle.onStop('control link', () => control.close());

  let fresh: StepPoint[] = [];
  const refresh = async (): Promise<void> => {
    view.checkpointsListed(await checkpointViews(store, run.name));
    view.channelsListed(await channelViews(store));
  };
  const refreshSoon = (): void =>
    void refresh().catch((err: unknown) => logger.warn('The store could not be listed', { err }));
  const announceMove = (channel: string): void => {
    control.publish(samplerSubjects.channelMoved, encodeMessage(ChannelMovedSchema, { channel }));
    refreshSoon();
  };
  await refresh();
  const signer = config.auditKey === undefined ? undefined : recordSigner(config.auditKey);
  const promotion = new Promotion({
    run: run.name,
    channel: config.channel,
    store,
    control,
    clock,
    logger,
    signer,
    evaluationImages: config.evaluationImages,
    onMoved: announceMove,
    onEvaluated: (result) => view.evaluated(result),
  });
  const retention = new Retention({
    run: run.name,
    store,
    clock,
    logger,
    keepLast: config.keepCheckpoints,
    keepEverySteps: config.keepCheckpointEverySteps,
    graceMs: config.retentionGraceMs,
  });
  let unsaved: StepPoint[] = [];
  const saveHistory = async (step: number): Promise<void> => {
    const points = unsaved;
    unsaved = [];
    await storeHistory(store, run.name, step, points).catch((err: unknown) =>
      logger.warn('The loss history could not be stored', { err }),
    );
  };
  const onEffect = (effect: CoordinatorEffect): void => {
    switch (effect.kind) {
      case 'lead':
        view.leads(true);
        retention.leads(true);
        view.planChanged(effect.plan);
        if (committedStep !== null) promotion.committed(committedStep);
        return;
      case 'stepDown':
        retention.leads(false);
        return view.leads(false);
      case 'planChanged':
        memberGauge.set(effect.plan.members.length);
        return view.planChanged(effect.plan);
      case 'stepKnown': {
        const skipped = effect.result.skippedLanes.length > 0;
        const point = view.stepKnown(effect.result.step, effect.loss, skipped, clock.nowMs());
        if (point === undefined) return;
        fresh.push(point);
        unsaved.push(point);
        stepGauge.set(effect.result.step + 1);
        if (!skipped) lossGauge.set(effect.loss);
        return;
      }
      case 'checkpointCommitted':
        promotion.committed(effect.step);
        retention.committed();
        void saveHistory(effect.step);
        return refreshSoon();
      case 'finished':
        view.startAt(effect.step);
        return view.ended('finished', `all ${effect.step} steps are done`);
      case 'halted':
        return view.ended('halted', effect.reason);
      default:
        return;
    }
  };
  const machine = new Coordinator({
    run: run.name,
    id,
    laneCount: order.laneCount,
    steps: targetSteps,
    sliceCount: checkpointSliceCount(run),
    committedStep,
    timings: deriveTimings(config.heartbeatMs),
    leasesFor: (lanes, fromStep, generation) => leaseWindow(readSets, lanes, fromStep, generation),
    leaseHorizon: (step) => leaseHorizon(readSets, step),
  });
  const shell = new CoordinatorShell({
    run: run.name,
    machine,
    control,
    store,
    clock,
    logger,
    heartbeatMs: config.heartbeatMs,
    commitManifest: async (effect) => {
      const dataset = { name: manifest.name, sha256: manifest.contentSha256 };
      parent = await commitCheckpoint({ store, run: stored, dataset, parent, clock }, effect);
    },
    onEffect,
  });
  const trainers = () => machine.view(clock.nowMs());
  const door = await openHttpDoor({
    host: config.host,
    port: config.port,
    ...(config.token === undefined ? {} : { token: config.token }),
    allowedHosts: config.allowedHosts,
    allowedOrigins: config.allowedOrigins,
    run: run.name,
    store,
    clock,
    health,
    logger,
    signer,
    playground: samplerPlayground(control),
    pageDir: fileURLToPath(new URL('../page', import.meta.url)),
    status: () => view.status(trainers(), clock.nowMs()),
    points: () => view.points,
    onMoved: announceMove,
  });
  lifecycle.onStop('HTTP door', () => door.close());
  if (config.natsSystemUser !== undefined)
    lifecycle.onStop(
      'disconnect notices',
      await watchDisconnects(
        config.natsUrl,
        { user: config.natsSystemUser, pass: config.natsSystemPassword },
        ({ clientName }) => shell.dispatch({ kind: 'disconnected', id: clientName }),
      ),
    );
  const broadcast = (): void => {
    if (lifecycle.stopping.aborted) return;
    door.broadcast(fresh);
    fresh = [];
    clock.setTimer(broadcastMs, broadcast);
  };
  const relist = (): void => {
    if (lifecycle.stopping.aborted) return;
    refreshSoon();
    clock.setTimer(refreshMs, relist);
  };
  broadcast();
  relist();
  lifecycle.onStop('promotion', () => promotion.stop());
  lifecycle.onStop('retention', () => retention.stop());
  lifecycle.onStop('lead', () => shell.release(2000));
  shell.start();
  announceReady(door.url, { id, metrics: operationsUrl });
}

runService(main);
