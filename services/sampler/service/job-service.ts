/**
 * Everything a client can do with jobs, and the loop that keeps them going: admission, durable acceptance, offering rows to samplers, taking
 * over what others left behind. Decisions are in `admission` and `keeping`; here they are carried out.
 */
import { ThawError, type JobSpec, type ModelVersion, type RowAnswer, type RowOffer, type SamplerEvent } from '@thaw/shared/protocol';
import { randomHex, type Clock, type Entropy, type Logger, type Timer } from '@thaw/shared/runtime';
import { noDrain, refusal, rowFinished, type AdmissionState, type DrainRate } from '../admission/index.js';
import { jobSpec, jobStatus, missingImage, parseChannel, type JobEnd, type JobRequest, type JobStatus } from '../jobs/index.js';
import {
  boardAfter, emptyBoard, emptyKeeper, forgetSilent, keeperAfter, keeperEffects, openRows, rowKey, rowTaken, runningRows,
  type Board, type KeeperEffect, type KeeperEvent, type KeeperState,
} from '../keeping/index.js';
import type { ImageCodec, ImageShape, ModelSource, SamplerMesh, TestImages } from '../ports.js';
import { severityOf } from '../trajectory/index.js';
import { asThawError, type RowWorker } from '../work/index.js';
import type { Images, JobStore } from './job-store.js';
import { rowTask } from './row-task.js';
import type { VersionFollower } from './version-follower.js';

export interface JobServiceOptions {
  /** Unique per process incarnation. */
  readonly name: string;
  readonly jobs: JobStore;
  readonly models: ModelSource;
  readonly follower: VersionFollower;
  readonly testImages: TestImages;
  readonly images: ImageCodec;
  readonly mesh: SamplerMesh;
  readonly worker: RowWorker;
  readonly clock: Clock;
  readonly entropy: Entropy;
  readonly logger: Logger;
  readonly maxQueuedRows: number;
  /** Silence after which a sampler is taken for dead; beats come four times as often. */
  readonly detectionMs: number;
}

/** A pause after a sampler was busy. */
const busyPauseMs = 50;
/** An open mark without a specification is what a crash before acceptance left; it is removed after this time. */
const abandonedMs = 120_000;

export class JobService {
  readonly #o: JobServiceOptions;
  readonly #beatMs: number;
  readonly #startedMs: number;
  readonly #watchers = new Map<string, Set<() => void>>();
  readonly #offeredBefore = new Set<string>();
  #keeper: KeeperState = emptyKeeper;
  #board: Board = emptyBoard;
  #drain: DrainRate = noDrain;
  #reserved = 0;
  #draining = false;
  #stopped = false;
  #adopting: Promise<void> | undefined;
  #timers: Timer[] = [];

  constructor(options: JobServiceOptions) {
    this.#o = options;
    this.#beatMs = Math.max(50, Math.floor(options.detectionMs / 4));
    this.#startedMs = options.clock.nowMs();
  }

  /** Begins to listen to the other samplers and to keep jobs. */
  start(): void {
    this.#o.mesh.onEvent((event) => this.#hear(event));
    this.#o.mesh.serveRows((offer) => this.#answer(offer));
    this.#every(this.#beatMs, () => {
      this.#beat();
      this.#board = forgetSilent(this.#board, this.#o.clock.nowMs(), this.#o.detectionMs);
      this.#act();
    });
    this.#every(this.#o.detectionMs, () => void this.adopt());
    this.#beat();
  }

  get queuedRows(): number {
    return openRows(this.#keeper) + this.#reserved;
  }

  get draining(): boolean {
    return this.#draining;
  }

  /**
   * Accepts a job: when this resolves, it is durable and will be finished by some sampler.
   * @throws ThawError with the reason of a refusal; nothing has happened then
   */
  async submit(request: JobRequest, imageFile?: Uint8Array): Promise<JobSpec> {
    const { clock, models, images, testImages, jobs, entropy, name } = this.#o;
    const admission = (): AdmissionState => ({ queuedRows: this.queuedRows, drain: this.#drain, draining: this.#draining });
    const wanted = { rows: request.count, deadlineMs: request.deadlineMs };
    const refused = refusal(admission(), this.#o, wanted, clock.nowMs());
    if (refused !== undefined) throw refused;
    this.#reserved += request.count;
    try {
      const nowMs = clock.wallTimeMs();
      const version = await this.#versionFor(request);
      const model = await models.load(version);
      const testCount = request.mode === 'restore' ? 0 : await testImages.count(model.dataset, 'test');
      const { steps, dataset } = model;
      const id = randomHex(entropy, 16);
      const spec = jobSpec(request, { id, nowMs, version, steps, dataset, testCount });
      const input = request.mode === 'restore' ? await images.decode(imageFile ?? decodeBase64(request), model.shape) : undefined;
      if (this.#draining) throw new ThawError('THAW_DRAINING', 'This sampler is shutting down and takes no new jobs.');
      await jobs.create(spec, name, input);
      this.#tell({ type: 'kept', spec, done: [], offersFromMs: 0 });
      this.#act();
      return spec;
    } finally {
      this.#reserved -= request.count;
    }
  }

  /** @throws ThawError THAW_JOB_NOT_FOUND */
  async status(id: string): Promise<JobStatus> {
    const { jobs } = this.#o;
    const spec = await jobs.mustHave(id);
    const [end, done] = await Promise.all([jobs.end(id), jobs.doneRows(spec)]);
    return jobStatus(spec, end, done, runningRows(this.#board, id));
  }

  /** @throws ThawError THAW_JOB_NOT_FOUND, THAW_JOB_NOT_READY, THAW_JOB_ENDED, THAW_DEADLINE_EXPIRED */
  async result(id: string, row: number): Promise<{ images: Images; shape: ImageShape }> {
    const found = await this.#o.jobs.result(id, row);
    return found ?? (await this.#missing(id, row));
  }

  /** The stored safetensors of a row; errors as {@link result}. */
  async resultBytes(id: string, row: number): Promise<Uint8Array> {
    const found = await this.#o.jobs.resultBytes(id, row);
    return found ?? (await this.#missing(id, row));
  }

  /** Resolves when the job is over, or after `waitMs`. */
  async waitForEnd(id: string, waitMs: number): Promise<JobStatus> {
    const untilMs = this.#o.clock.nowMs() + waitMs;
    for (;;) {
      const status = await this.status(id);
      const leftMs = untilMs - this.#o.clock.nowMs();
      if (status.state !== 'running' || leftMs <= 0 || this.#stopped) return status;
      await this.changed(id, Math.min(leftMs, 500));
    }
  }

  /** Cancels a job; a job that is over stays as it is. @throws ThawError THAW_JOB_NOT_FOUND */
  async cancel(id: string): Promise<JobStatus> {
    const { jobs, clock } = this.#o;
    const spec = await jobs.mustHave(id);
    if ((await jobs.doneRows(spec)).size < spec.count) {
      await jobs.putEnd(id, { format: 'thaw.job-end/1', state: 'cancelled', endedMs: clock.wallTimeMs() });
      this.#over(id);
    }
    return this.status(id);
  }

  /** Resolves when something of the job was stored, or it ended, or after `timeoutMs`. */
  changed(id: string, timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const watchers = this.#watchers.get(id) ?? new Set();
      this.#watchers.set(id, watchers);
      const done = (): void => {
        timer.cancel();
        watchers.delete(done);
        if (watchers.size === 0 && this.#watchers.get(id) === watchers) this.#watchers.delete(id);
        resolve();
      };
      const timer = this.#o.clock.setTimer(timeoutMs, done);
      watchers.add(done);
    });
  }

  /** Takes over open jobs that nobody alive keeps. */
  async adopt(): Promise<void> {
    this.#adopting ??= this.#adoptOnce()
      .catch((err: unknown) => this.#o.logger.warn('Open jobs could not be looked through', { err }))
      .finally(() => (this.#adopting = undefined));
    await this.#adopting;
  }

  /**
   * Hands everything over: no new work, states of unfinished rows saved, kept jobs free for others. The process may end afterwards.
   */
  async leave(): Promise<void> {
    const { mesh, worker, jobs, name, clock, logger } = this.#o;
    this.#draining = true;
    await mesh.stopServing();
    const unfinished = await worker.stop();
    const saves = unfinished.map(async ({ key, trajectory }) => {
      const [id, row] = key.split('/') as [string, string];
      const { direct, x } = trajectory;
      const spec = direct && (await jobs.spec(id));
      if (!spec) return; // not begun, or not a row of a job: it starts again elsewhere
      const { shape } = await this.#o.models.load(spec.version);
      await jobs.putHandoff(id, Number(row), severityOf(trajectory), { x, direct }, shape);
    });
    const releases = [...this.#keeper.jobs.keys()].map(async (id) => {
      const kept = await jobs.keeper(id);
      if (kept?.keeper === name) await jobs.takeOver(id, '', clock.wallTimeMs(), kept.etag);
    });
    for (const outcome of await Promise.allSettled([...saves, ...releases]))
      if (outcome.status === 'rejected') logger.warn('Something was not handed over', { err: outcome.reason });
    this.#stopped = true;
    for (const timer of this.#timers) timer.cancel();
    mesh.announce({ type: 'leave', sampler: name });
    for (const watchers of this.#watchers.values()) for (const wake of [...watchers]) wake();
  }

  async #versionFor(request: JobRequest): Promise<ModelVersion> {
    const { follower, models } = this.#o;
    if (request.version !== undefined) {
      const run = request.run ?? follower.current?.run;
      if (run === undefined) throw follower.problem ?? new ThawError('THAW_MODEL_NOT_READY', 'No model has been loaded yet.');
      return models.versionOf(run, request.version);
    }
    if (request.channel === undefined || request.channel === this.followed) {
      if (follower.current === undefined)
        throw new ThawError('THAW_MODEL_NOT_READY', follower.problem?.message ?? 'No model has been loaded yet.', {
          details: { retryAfterSeconds: 2 },
        });
      return follower.current;
    }
    const head = await models.headOf(parseChannel(request.channel));
    if (head === undefined) throw new ThawError('THAW_CHANNEL_NOT_FOUND', `Nothing has been promoted to the channel "${request.channel}".`);
    return head;
  }

  /** The channel that is loaded ahead of need. */
  get followed(): string {
    return this.#o.follower.channel;
  }

  async #missing(id: string, row: number): Promise<never> {
    const spec = await this.#o.jobs.mustHave(id);
    throw missingImage(spec, row, await this.#o.jobs.end(id));
  }

  #tell(event: KeeperEvent): void {
    this.#keeper = keeperAfter(this.#keeper, event);
  }

  #hear(event: SamplerEvent): void {
    this.#board = boardAfter(this.#board, event, this.#o.clock.nowMs());
    switch (event.type) {
      case 'beat':
        return;
      case 'leave':
        void this.adopt();
        break;
      case 'stored':
        if (event.severity === 0) this.#rowStored(event.job, event.row);
        this.#wake(event.job);
        break;
      case 'row-failed':
        this.#tell({ ...event, type: 'row-failed' });
        break;
      case 'ended':
        this.#forget(event.job);
        break;
    }
    this.#act();
  }

  #rowStored(job: string, row: number): void {
    const kept = this.#keeper.jobs.get(job);
    if (kept === undefined || kept.done.has(row)) return;
    this.#drain = rowFinished(this.#drain, this.#o.clock.nowMs());
    this.#tell({ type: 'row-done', job, row });
  }

  #wake(job: string): void {
    for (const wake of [...(this.#watchers.get(job) ?? [])]) wake();
  }

  /** An event of this sampler: it hears it itself, and so do the others. */
  #announce(event: SamplerEvent): void {
    this.#o.mesh.announce(event);
    this.#hear(event);
  }

  #beat(): void {
    const rows = this.#o.worker.held().flatMap(({ key, severity }) => {
      const [job, row] = key.split('/');
      return job === undefined || row === undefined || !/^[0-9a-f]{32}$/.test(job) ? [] : [{ job, row: Number(row), severity: severity ?? 0 }];
    });
    const event: SamplerEvent = { type: 'beat', sampler: this.#o.name, rows };
    this.#o.mesh.announce(event);
    this.#board = boardAfter(this.#board, event, this.#o.clock.nowMs());
  }

  /** Answers an offer. The beat that names the row goes out before the answer, so that no older beat is heard after it. */
  #answer({ spec, row }: RowOffer): RowAnswer {
    const { name, worker, jobs, testImages } = this.#o;
    if (this.#draining || row >= spec.count) return { answer: 'busy', sampler: name };
    const task = rowTask(spec, row, {
      jobs,
      testImages,
      stored: (severity) => this.#announce({ type: 'stored', sampler: name, job: spec.id, row, severity }),
      failed: (error) => {
        const { code, message } = asThawError(error);
        this.#o.logger.error('A row failed', { job: spec.id, row, code, err: error });
        this.#announce({ type: 'row-failed', sampler: name, job: spec.id, row, code, message: message.slice(0, 2000) });
      },
    });
    const answer = worker.add(task);
    if (answer === 'accepted') this.#beat();
    return { answer, sampler: name };
  }

  /** Carries out whatever is due. */
  #act(): void {
    if (this.#draining) return;
    const { clock } = this.#o;
    for (const effect of keeperEffects(this.#keeper, this.#board, clock.nowMs(), clock.wallTimeMs())) {
      if (effect.type === 'offer') void this.#offer(effect);
      else void this.#end(effect);
    }
  }

  async #offer({ spec, row }: Extract<KeeperEffect, { type: 'offer' }>): Promise<void> {
    const { mesh, jobs, clock, logger } = this.#o;
    this.#tell({ type: 'offering', job: spec.id, row });
    const key = rowKey(spec.id, row);
    let busyUntilMs: number | undefined;
    try {
      if (this.#offeredBefore.has(key) && (await jobs.hasResult(spec.id, row))) {
        this.#rowStored(spec.id, row);
      } else {
        this.#offeredBefore.add(key);
        const answer = await mesh.offer({ spec, row }).catch((err: unknown) => {
          logger.debug('Nobody answered an offer; trying here', { err });
          return this.#answer({ spec, row });
        });
        if (answer.answer === 'accepted') {
          const heard = this.#board.rows.has(key) || this.#keeper.jobs.get(spec.id)?.done.has(row);
          if (!heard) this.#board = rowTaken(this.#board, spec.id, row, answer.sampler, spec.severities[0]!, clock.nowMs());
        } else busyUntilMs = clock.nowMs() + busyPauseMs;
      }
    } catch (err) {
      logger.warn('A row could not be offered', { job: spec.id, row, err });
      busyUntilMs = clock.nowMs() + 1000;
    }
    this.#tell({ type: 'answered', job: spec.id, row, busyUntilMs });
    if (busyUntilMs === undefined) this.#act();
    else this.#later(busyUntilMs - clock.nowMs(), () => this.#act());
  }

  async #end({ job, state, code, message }: Extract<KeeperEffect, { type: 'end' }>): Promise<void> {
    const { jobs, clock, logger } = this.#o;
    this.#tell({ type: 'ending', job });
    const end: JobEnd = { format: 'thaw.job-end/1', state, code, message, endedMs: clock.wallTimeMs() };
    try {
      await jobs.putEnd(job, end);
      logger.info('A job is over', { job, state, code });
      this.#over(job);
    } catch (err) {
      logger.warn('The end of a job could not be written; trying again', { job, err });
      this.#tell({ type: 'end-failed', job });
    }
  }

  #over(job: string): void {
    this.#announce({ type: 'ended', sampler: this.#o.name, job });
  }

  #forget(job: string): void {
    for (const { key } of this.#o.worker.held()) if (key.startsWith(`${job}/`)) this.#o.worker.cancel(key);
    for (const key of this.#offeredBefore) if (key.startsWith(`${job}/`)) this.#offeredBefore.delete(key);
    this.#tell({ type: 'dropped', job });
    this.#wake(job);
  }

  async #adoptOnce(): Promise<void> {
    const { jobs, name, clock, detectionMs, logger } = this.#o;
    for (const { id, modifiedMs } of await jobs.openJobs()) {
      if (this.#draining) return;
      if (this.#keeper.jobs.has(id)) continue;
      const mark = await jobs.keeper(id);
      if (mark === undefined || this.#board.samplers.has(mark.keeper)) continue;
      // Whoever has just started has not heard anybody yet.
      if (mark.keeper !== '' && clock.nowMs() - this.#startedMs < detectionMs) continue;
      const spec = await jobs.spec(id);
      if (spec === undefined) {
        if (clock.wallTimeMs() - modifiedMs > abandonedMs) await jobs.close(id);
        continue;
      }
      if ((await jobs.end(id)) !== undefined) {
        await jobs.close(id);
        continue;
      }
      if (!(await jobs.takeOver(id, name, clock.wallTimeMs(), mark.etag))) continue;
      logger.info('Keeping a job that was left behind', { job: id, before: mark.keeper });
      const done = [...(await jobs.doneRows(spec))];
      this.#tell({ type: 'kept', spec, done, offersFromMs: clock.nowMs() + 2 * this.#beatMs });
      for (let row = 0; row < spec.count; row++) this.#offeredBefore.add(rowKey(id, row));
    }
    this.#act();
  }

  #every(periodMs: number, action: () => void): void {
    const again = (): void => {
      if (this.#stopped) return;
      action();
      this.#later(periodMs, again);
    };
    this.#later(periodMs, again);
  }

  #later(delayMs: number, action: () => void): void {
    if (this.#stopped) return;
    const timer = this.#o.clock.setTimer(Math.max(1, delayMs), () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
      action();
    });
    this.#timers.push(timer);
  }
}

const decodeBase64 = (request: JobRequest): Uint8Array => new Uint8Array(Buffer.from(request.image ?? '', 'base64'));
