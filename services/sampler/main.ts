/** The sampler process: configuration from the environment, ports made real, the service, its doors. */
import { openEngine } from '@thaw/shared/engine';
import { announceReady, runService, startService, systemEntropy, type Timer } from '@thaw/shared/runtime';
import { openStore } from '@thaw/shared/storage';
import { connectControl } from '@thaw/shared/transport';
import { SamplerConfigSchema } from './config.js';
import { addEstimateRoutes } from './io/estimate-routes.js';
import { serveFrames } from './io/frames-socket.js';
import { createHttpServer, listen } from './io/http-server.js';
import { createImageCodec } from './io/image-codec.js';
import { addJobRoutes } from './io/job-routes.js';
import { controlMesh, MemoryMeshHub } from './mesh/index.js';
import { CheckpointModels, datasetImages } from './models/index.js';
import { createSampler } from './sampler.js';

const gaugePeriodMs = 500;

async function main(): Promise<void> {
  const started = await startService('sampler', SamplerConfigSchema);
  const { config, id: name, clock, logger, lifecycle, health, metrics, operationsUrl } = started;
  const { host, token, allowedHosts, allowedOrigins } = config;

  const store = await openStore(config.storeUrl);
  const engine = await openEngine({ kind: config.engine, workers: config.workers });
  lifecycle.onStop('engine', () => engine.close());
  logger.info('Engine ready', { ...engine.describe() });
  const { batchSizes, keepVersions, weights } = config;
  const models = new CheckpointModels({ store, engine, batchSizes, keepVersions, weights, logger });
  lifecycle.onStop('models', () => models.close());

  const credentials = { token: config.natsToken, user: config.natsUser, pass: config.natsPassword };
  const mesh =
    config.natsUrl === undefined
      ? new MemoryMeshHub().join()
      : controlMesh(
          await connectControl(config.natsUrl, {
            name,
            ...credentials,
            onError: (err) => logger.warn('Link error', { err }),
          }),
          {
            name,
            logger,
            offerTimeoutMs: config.detectionMs,
          },
        );
  lifecycle.onStop('mesh', () => mesh.close());

  const images = createImageCodec({ maxPixels: config.maxPixels });
  const calls = metrics.histogram('sampler_call_seconds', {
    help: 'Duration of a network call.',
    buckets: [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5],
  });
  const rows = metrics.counter('sampler_row_steps_total', { help: 'Rows computed, summed over network calls.' });
  const sampler = createSampler({
    name,
    config,
    store,
    images,
    mesh,
    clock,
    logger,
    models,
    testImages: datasetImages(store),
    entropy: systemEntropy,
    onCall: ({ severities, tookMs }) => {
      calls.observe(tookMs / 1000);
      rows.inc(severities.length);
    },
    onVersion: ({ step }) => served.set(step),
  });
  const served = metrics.gauge('sampler_version_step', { help: 'Step of the checkpoint that is served.' });
  const queued = metrics.gauge('sampler_queued_rows', {
    help: 'Rows of accepted, unfinished jobs; what autoscaling looks at.',
  });
  const { service, follower, jobs, frames } = sampler;
  health.register('model', 'ready', () => {
    if (follower.current === undefined)
      return { ok: false, reason: follower.problem?.message ?? 'No model has been loaded yet.' };
    return follower.problem === undefined
      ? { ok: true }
      : { ok: true, reason: `The head is not served: ${follower.problem.message}` };
  });
  health.register('admission', 'ready', () =>
    service.draining ? { ok: false, reason: 'The sampler is shutting down.' } : { ok: true },
  );

  const answers = metrics.counter('sampler_http_answers_total', {
    help: 'Answers by route and status.',
    labels: ['route', 'status'],
  });
  const rules = { host, allowedHosts, allowedOrigins, ...(token === undefined ? {} : { token }) };
  const app = await createHttpServer({
    ...rules,
    health,
    clock,
    logger,
    maxBodyBytes: config.maxBodyBytes,
    onAnswer: (route, status) => answers.inc({ route, status: String(status) }),
  });
  addJobRoutes(app, { service, images, maxWaitMs: config.maxWaitMs });
  addEstimateRoutes(app, sampler);
  const closeFrames = serveFrames(app.server, {
    ...rules,
    service,
    jobs,
    frames,
    clock,
    logger,
    maxWatchers: config.maxWatchers,
  });
  const url = await listen(app, { ...rules, port: config.port });
  // Last registered, first done: hand over while the doors still answer, then close them.
  lifecycle.onStop('HTTP door', async () => {
    closeFrames();
    await app.close();
  });
  let observing: Timer | undefined;
  lifecycle.onStop('hand-over', async () => {
    observing?.cancel();
    await sampler.leave();
  });
  sampler.start();
  const observe = (): void => {
    queued.set(service.queuedRows);
    if (!lifecycle.stopping.aborted) observing = clock.setTimer(gaugePeriodMs, observe);
  };
  observe();
  announceReady(url, { id: name, metrics: operationsUrl });
}

runService(main);
