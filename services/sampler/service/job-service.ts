/** Everything a client can do with jobs: send, look at, fetch, cancel. */
import { ThawError, type JobSpec, type ModelVersion } from '@thaw/shared/protocol';
import { randomHex, type Entropy } from '@thaw/shared/runtime';
import { noDrain, refusal, type AdmissionState } from '../admission/index.js';
import {
  blockSpec,
  isBlock,
  jobSpec,
  jobStatus,
  missingImage,
  parseChannel,
  type JobRequest,
  type JobStatus,
} from '../jobs/index.js';
import type { ImageCodec, ImageShape, ModelSource, Pixels } from '../ports.js';
import { severityOf } from '../trajectory/index.js';
import type { Images } from './job-store.js';
import { generationFrom, restorationFrom } from './generation.js';
import { KeepingLoop, type KeepingLoopOptions } from './keeping-loop.js';
import { isSafetensors, tensorImage, type TensorImage } from './tensor-image.js';
import type { VersionFollower } from './version-follower.js';

export interface JobServiceOptions extends KeepingLoopOptions {
  readonly models: ModelSource;
  readonly follower: VersionFollower;
  readonly images: ImageCodec;
  readonly entropy: Entropy;
  readonly maxQueuedRows: number;
  /** Run that a bare `version` belongs to. */
  readonly run?: string | undefined;
}

/** Unfinished rows of evaluations that one sampler keeps. */
const mostBlockRows = 1024;
/** A poll behind the announcements, which may be lost. */
const longestWaitMs = 500;

export class JobService {
  readonly #o: JobServiceOptions;
  readonly #loop: KeepingLoop;
  #reserved = 0;

  constructor(options: JobServiceOptions) {
    this.#o = options;
    this.#loop = new KeepingLoop(options);
  }

  start(): void {
    this.#loop.start();
  }

  get queuedRows(): number {
    return this.#loop.openRows + this.#reserved;
  }

  /** Samplers that are heard, this one included. */
  get samplers(): number {
    return this.#loop.samplers;
  }

  get draining(): boolean {
    return this.#loop.draining;
  }

  /**
   * Accepts a job: when this resolves, it is durable and will be finished by some sampler.
   * @param imageFile the image of a restore job, if it is not in the request
   * @throws ThawError with the reason of a refusal; nothing has happened then
   */
  async submit(request: JobRequest, imageFile?: Uint8Array): Promise<JobSpec> {
    if (request.mode === 'evaluate') return this.#submitBlock(request);
    const { clock, models, testImages, jobs, entropy, name } = this.#o;
    const { queuedRows, draining } = this;
    const admission: AdmissionState = { queuedRows, drain: this.#loop.drainRate, draining };
    const refused = refusal(admission, this.#o, { rows: request.count, deadlineMs: request.deadlineMs }, clock.nowMs());
    if (refused !== undefined) throw refused;
    this.#reserved += request.count;
    try {
      const nowMs = clock.wallTimeMs();
      const restoring = request.mode === 'restore';
      const version = await this.#versionFor(request);
      const model = await models.load(version);
      const { steps, dataset, shape } = model;
      model.checkSampler?.(request.sampler);
      if (request.freshNoise === true && model.redrawContext === undefined)
        throw new ThawError(
          'THAW_SAMPLING_INVALID',
          `freshNoise: the degradation "${model.family}" mixes in no noise that could be drawn anew.`,
          { cure: 'Leave it out; it is for models of noise.' },
        );
      const start =
        request.mode === 'generate' ? await generationFrom(request, model, models) : restorationFrom(request);
      const testCount = request.mode === 'sample' ? await testImages.count(dataset, 'test') : 0;
      const id = randomHex(entropy, 16);
      const spec = jobSpec(request, { id, nowMs, version, steps, dataset, testCount, ...start });
      const input = restoring
        ? await this.#startImage(imageFile ?? decodeBase64(request), shape, request.convert)
        : undefined;
      if (this.draining) throw new ThawError('THAW_DRAINING', 'This sampler is shutting down and takes no new jobs.');
      await jobs.create(spec, name, input);
      this.#loop.keep(spec);
      return spec;
    } finally {
      this.#reserved -= request.count;
    }
  }

  /** Accepts a block of an evaluation, beside the users' queue; one that was accepted before is that job. */
  async #submitBlock(request: JobRequest): Promise<JobSpec> {
    const { clock, models, testImages, jobs, name } = this.#o;
    const version = await models.versionOf(request.run!, request.version!);
    const model = await models.load(version);
    model.checkSampler?.(request.sampler);
    const { steps, dataset } = model;
    const { sha256: fingerprint } = await model.fingerprint();
    const available = await testImages.count(dataset, request.evaluation!.split);
    const what = { version, steps, dataset, fingerprint, available };
    const acceptance = { ...what, sampler: name, nowMs: clock.wallTimeMs(), alone: this.samplers <= 1 };
    const spec = blockSpec(request, acceptance);
    const known = await jobs.spec(spec.id);
    if (known !== undefined) return known;
    const admission = { queuedRows: this.#loop.openBlockRows, drain: noDrain, draining: this.draining };
    const refused = refusal(admission, { maxQueuedRows: mostBlockRows }, { rows: spec.count }, clock.nowMs());
    if (refused !== undefined) throw refused;
    await jobs.create(spec, name);
    this.#loop.keep(spec);
    return spec;
  }

  /** An image file, or exact values as safetensors. @throws ThawError THAW_IMAGE_INVALID, THAW_IMAGE_TOO_LARGE, THAW_SAFETENSORS_INVALID */
  async #startImage(file: Uint8Array, shape: ImageShape, convert = false): Promise<Pixels | TensorImage> {
    return isSafetensors(file) ? tensorImage(file, shape) : this.#o.images.decode(file, shape, convert);
  }

  /** @throws ThawError THAW_JOB_NOT_FOUND */
  async status(id: string): Promise<JobStatus> {
    return this.#status(id, true);
  }

  async #status(id: string, asked: boolean): Promise<JobStatus> {
    const { jobs } = this.#o;
    const spec = await jobs.mustHave(id);
    if (asked && isBlock(spec)) this.#loop.asked(id);
    const [end, done] = await Promise.all([jobs.end(id), jobs.doneRows(spec)]);
    return jobStatus(spec, end, done, this.#loop.running(id));
  }

  /** @throws ThawError THAW_JOB_NOT_FOUND, THAW_JOB_NOT_READY, THAW_JOB_ENDED, THAW_DEADLINE_EXPIRED */
  async result(id: string, row: number): Promise<{ images: Images; shape: ImageShape }> {
    return (await this.#o.jobs.result(id, row)) ?? (await this.#missing(id, row));
  }

  /** The stored safetensors of a row; errors as {@link result}. */
  async resultBytes(id: string, row: number): Promise<Uint8Array> {
    const bytes = (await this.#o.jobs.resultBytes(id, row)) ?? (await this.#missing(id, row));
    this.#loop.asked(id);
    return bytes;
  }

  /** Resolves when the job is over, or after `waitMs`. */
  async waitForEnd(id: string, waitMs: number): Promise<JobStatus> {
    const untilMs = this.#o.clock.nowMs() + waitMs;
    for (let asked = true; ; asked = false) {
      // Listened to before the look, so that nothing is missed in between.
      const changed = this.changed(id, Math.min(Math.max(0, untilMs - this.#o.clock.nowMs()), longestWaitMs));
      const status = await this.#status(id, asked);
      if (status.state !== 'running' || untilMs <= this.#o.clock.nowMs() || this.#loop.stopped) return status;
      await changed;
    }
  }

  /** Cancels a job; a job that is over stays as it is. What a block of an evaluation gave is removed in any case. @throws ThawError THAW_JOB_NOT_FOUND */
  async cancel(id: string): Promise<JobStatus> {
    const { jobs, clock } = this.#o;
    const spec = await jobs.mustHave(id);
    if (isBlock(spec) || (await jobs.doneRows(spec)).size < spec.count) {
      await jobs.putEnd(id, { format: 'thaw.job-end/1', state: 'cancelled', endedMs: clock.wallTimeMs() });
      this.#loop.over(id);
    }
    if (isBlock(spec)) await this.#loop.removeResults(spec);
    return this.#status(id, false);
  }

  /** Resolves when something of the job was stored, or it ended, or after `timeoutMs`. */
  changed(id: string, timeoutMs: number): Promise<void> {
    return this.#loop.changed(id, timeoutMs);
  }

  /** Hands everything over: no new work, states of unfinished rows saved, kept jobs free for others. */
  async leave(): Promise<void> {
    const { worker, jobs, models, logger } = this.#o;
    await this.#loop.drain();
    const unfinished = await worker.stop();
    const saves = unfinished.map(async ({ key, trajectory }) => {
      const [id, row] = key.split('/') as [string, string];
      const { direct, x } = trajectory;
      const spec = direct && (await jobs.spec(id));
      if (!spec || isBlock(spec)) return; // not begun, or of an evaluation: it starts again elsewhere
      const { shape } = await models.load(spec.version);
      await jobs.putHandoff(id, Number(row), severityOf(trajectory), { x, direct }, shape);
    });
    for (const outcome of await Promise.allSettled(saves))
      if (outcome.status === 'rejected') logger.warn('A row was not handed over', { err: outcome.reason });
    await this.#loop.release();
  }

  async #versionFor(request: JobRequest): Promise<ModelVersion> {
    const { follower, models } = this.#o;
    const notReady = (): ThawError =>
      new ThawError('THAW_MODEL_NOT_READY', follower.problem?.message ?? 'No model has been loaded yet.', {
        details: { retryAfterSeconds: 2 },
      });
    if (request.version !== undefined) {
      const run = request.run ?? this.#o.run ?? follower.current?.run;
      if (run === undefined) throw notReady();
      return models.versionOf(run, request.version);
    }
    if (request.channel === undefined || request.channel === follower.channel) {
      if (follower.current === undefined) throw notReady();
      return follower.current;
    }
    const head = await models.headOf(parseChannel(request.channel));
    if (head === undefined)
      throw new ThawError('THAW_CHANNEL_NOT_FOUND', `Nothing has been promoted to the channel "${request.channel}".`);
    return head;
  }

  async #missing(id: string, row: number): Promise<never> {
    const spec = await this.#o.jobs.mustHave(id);
    throw missingImage(spec, row, await this.#o.jobs.end(id));
  }
}

const decodeBase64 = (request: JobRequest): Uint8Array => new Uint8Array(Buffer.from(request.image ?? '', 'base64'));
