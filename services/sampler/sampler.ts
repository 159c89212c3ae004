/** A sampler put together from its ports: what `main.ts` starts and tests run in process. */
import type { Clock, Entropy, Logger } from '@thaw/shared/runtime';
import type { ObjectStore } from '@thaw/shared/storage';
import type { SamplerConfig } from './config.js';
import { Evaluator } from './evaluation/index.js';
import type { ImageCodec, ModelSource, ModelVersion, SamplerMesh, TestImages } from './ports.js';
import {
  clusterOutlook,
  FrameReader,
  JobService,
  JobStore,
  PlayService,
  VersionFollower,
  type ClusterOutlook,
  type OutlookRequest,
} from './service/index.js';
import { RowWorker, type CallReport } from './work/index.js';

export interface SamplerParts {
  /** Unique per process incarnation. */
  readonly name: string;
  readonly config: Pick<
    SamplerConfig,
    'run' | 'channel' | 'pollMs' | 'maxRows' | 'workers' | 'maxQueuedRows' | 'detectionMs'
  >;
  readonly store: ObjectStore;
  readonly models: ModelSource;
  readonly testImages: TestImages;
  readonly images: ImageCodec;
  readonly mesh: SamplerMesh;
  readonly clock: Clock;
  readonly entropy: Entropy;
  readonly logger: Logger;
  readonly onCall?: (report: CallReport) => void;
  readonly onVersion?: (version: ModelVersion) => void;
}

export interface Sampler {
  readonly jobs: JobStore;
  readonly service: JobService;
  readonly frames: FrameReader;
  readonly follower: VersionFollower;
  readonly evaluator: Evaluator;
  readonly worker: RowWorker;
  /** How an evaluation by the samplers begins. */
  outlook(request: OutlookRequest): Promise<ClusterOutlook>;
  /** Begins to follow the channel, to keep jobs and to answer others. */
  start(): void;
  /** Hands everything over; nothing runs any more afterwards. The mesh stays open. */
  leave(): Promise<void>;
}

export function createSampler(parts: SamplerParts): Sampler {
  const { name, config, store, models, testImages, images, mesh, clock, entropy, logger, onCall, onVersion } = parts;
  const jobs = new JobStore(store, { wallTimeMs: () => clock.wallTimeMs() });
  const worker = new RowWorker({ models, clock, maxRows: config.maxRows, concurrency: config.workers, onCall });
  const follower = new VersionFollower({
    models,
    channel: config.channel,
    clock,
    logger,
    pollMs: config.pollMs,
    onVersion,
  });
  const { run, maxQueuedRows, detectionMs } = config;
  const service = new JobService({
    name,
    run,
    jobs,
    models,
    follower,
    testImages,
    images,
    mesh,
    worker,
    clock,
    entropy,
    logger,
    maxQueuedRows,
    detectionMs,
  });
  const frames = new FrameReader(jobs, images);
  const playground = new PlayService({ service, jobs, frames, clock });
  const evaluator = new Evaluator({ name, store, models, testImages, images, worker, clock, logger });
  return {
    jobs,
    service,
    frames,
    follower,
    evaluator,
    worker,
    outlook: (request) =>
      clusterOutlook(
        { models, testImages, usualRun: () => run ?? follower.current?.run, samplers: () => service.samplers },
        request,
      ),
    start() {
      follower.start();
      service.start();
      mesh.onChannelMoved((channel) => {
        if (channel === config.channel) void follower.look();
      });
      mesh.servePlayground(playground);
      mesh.serveEvaluations(async (request) => {
        const result = await evaluator.evaluate(request);
        mesh.announceEvaluation(result);
        return result;
      });
    },
    async leave() {
      follower.stop();
      await service.leave();
    },
  };
}
