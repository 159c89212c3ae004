/** The coordinator process: leads the run, or stands by; serves the page and the API. */
import { fileURLToPath } from 'node:url';
import { bindRunSets, leaseHorizon, leaseWindow, loadRunSets, stepsPerEpoch, trainSchedule } from '@thaw/shared/data';
import {
  ChannelMovedSchema,
  checkpointSliceCount,
  deriveTimings,
  encodeMessage,
  samplerSubjects,
} from '@thaw/shared/protocol';
import { announceReady, runService, startService } from '@thaw/shared/runtime';
import { checkStoreFitness, loadRun, openStore, recordSigner } from '@thaw/shared/storage';
import { connectControl, watchDisconnects } from '@thaw/shared/transport';
import { CoordinatorConfigSchema } from './config.js';
import { channelViews, checkpointViews, storedEvaluations } from './io/checkpoints.js';
import { openHttpDoor } from './io/http.js';
import { JobRetention } from './io/job-retention.js';
import { Lineage } from './io/lineage.js';
import { LossHistory } from './io/loss-history.js';
import { samplerPlayground } from './io/playground.js';
import { Promotion } from './io/promotion.js';
import { Retention } from './io/retention.js';
import { CoordinatorShell } from './io/shell.js';
import { StatusRelay } from './io/status-relay.js';
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
  const sets = await loadRunSets(store, run);
  await bindRunSets(store, run, sets);
  const { own, partners } = sets;
  const { manifest, order } = own;
  const readSets = partners === undefined ? [own] : [own, partners];
  const dataset = { name: manifest.name, sha256: manifest.contentSha256 };
  const lineage = new Lineage({ store, run: stored, dataset, clock, logger });
  const committedStep = await lineage.newestStep();
  const history = new LossHistory(store, run.name, logger);

  const view = new RunView(
    {
      run: run.name,
      steps: targetSteps,
      laneCount: order.laneCount,
      globalBatch: run.batch.global,
      stepsPerEpoch: stepsPerEpoch(trainSchedule(manifest, order)),
    },
    await history.load(committedStep ?? 0),
  );
  view.startAt(committedStep ?? 0);
  const loadEvaluations = async (): Promise<void> => {
    for (const result of await storedEvaluations(store, run.name)) view.evaluated(result);
  };
  await loadEvaluations();

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
  let leads = false;
  const refresh = async (): Promise<void> => {
    const checkpoints = await checkpointViews(store, run.name);
    view.checkpointsListed(checkpoints);
    if (!leads) history.savedByOthers(checkpoints[0]?.step ?? 0);
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
    gated: config.gatedChannel === undefined ? undefined : { channel: config.gatedChannel, margin: config.gateMargin },
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
  const jobRetention = new JobRetention({ run: run.name, store, clock, logger, keepMs: config.keepJobsMs });
  /** Goes on from what coordinators before this one have committed, promoted and evaluated since this process started. */
  const takeOver = (): void => {
    lineage.expire();
    void (async () => {
      const step = await lineage.newestStep();
      if (step === null) return;
      shell.dispatch({ kind: 'manifestCommitted', step });
      // The one before may have died between the manifest and the channel.
      promotion.committed(step);
      await loadEvaluations();
    })().catch((err: unknown) => logger.warn('What the run has so far could not be read', { err }));
  };
  const onEffect = (effect: CoordinatorEffect): void => {
    switch (effect.kind) {
      case 'lead':
        leads = true;
        view.leads(true);
        retention.leads(true);
        view.planChanged(effect.plan);
        return takeOver();
      case 'stepDown':
        leads = false;
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
        history.add(point);
        stepGauge.set(effect.result.step + 1);
        if (!skipped) lossGauge.set(effect.loss);
        return;
      }
      case 'checkpointCommitted':
        promotion.committed(effect.step);
        retention.committed();
        void history.save(effect.step);
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
  const timings = deriveTimings(config.heartbeatMs);
  const machine = new Coordinator({
    run: run.name,
    id,
    laneCount: order.laneCount,
    steps: targetSteps,
    sliceCount: checkpointSliceCount(run),
    committedStep,
    timings,
    leasesFor: (lanes, fromStep, generation) => leaseWindow(readSets, lanes, fromStep, generation),
    leaseHorizon: (step) => leaseHorizon(readSets, step),
    stragglerFactor: config.stragglerFactor,
    stragglerSteps: config.stragglerSteps,
    evictStragglers: config.stragglerPolicy === 'evict',
    rebalanceGain: config.rebalanceGain,
  });
  const shell = new CoordinatorShell({
    run: run.name,
    machine,
    control,
    store,
    clock,
    logger,
    heartbeatMs: config.heartbeatMs,
    commitManifest: (effect) => lineage.commit(effect),
    onEffect,
  });
  const relay = new StatusRelay({
    ...{ run: run.name, control, clock, logger, health },
    ttlMs: Math.max(timings.leadTtlMs, 3 * refreshMs),
    leading: () => machine.leading,
    own: () => view.status(machine.view(clock.nowMs()), clock.nowMs()),
  });
  lifecycle.onStop('status', () => relay.stop());
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
    status: () => relay.status(),
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
    const plan = machine.currentPlan;
    if (leads) jobRetention.lookAfter();
    if (machine.leading && plan !== undefined)
      relay.tell({ leader: id, epoch: plan.leader.epoch, status: relay.status() });
    clock.setTimer(refreshMs, relist);
  };
  broadcast();
  relist();
  lifecycle.onStop('promotion', () => promotion.stop());
  lifecycle.onStop('retention', () => retention.stop());
  lifecycle.onStop('retention of jobs', () => jobRetention.stop());
  lifecycle.onStop('lead', () => shell.release(2000));
  shell.start();
  announceReady(door.url, { id, metrics: operationsUrl });
}

runService(main);
