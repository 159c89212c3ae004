/**
 * Carries out what `keeping` decides: offers rows to samplers, answers their offers, hears and tells what happens, ends jobs, and takes over
 * what others left behind.
 */
import type { JobSpec, RowAnswer, RowOffer, SamplerEvent } from '@thaw/shared/protocol';
import type { Clock, Logger } from '@thaw/shared/runtime';
import { noDrain, rowFinished, type DrainRate } from '../admission/index.js';
import { isBlock, type JobEnd } from '../jobs/index.js';
import {
  boardAfter,
  emptyBoard,
  emptyKeeper,
  forgetSilent,
  keeperAfter,
  keeperEffects,
  openRows,
  rowKey,
  rowTaken,
  runningRows,
  type Board,
  type KeeperEffect,
  type KeeperEvent,
  type KeeperState,
} from '../keeping/index.js';
import type { SamplerMesh, TestImages } from '../ports.js';
import type { RowWorker } from '../work/index.js';
import { takeOverOpenJobs } from './adoption.js';
import type { JobStore } from './job-store.js';
import { RowDoor } from './row-door.js';
import { Timers } from './timers.js';
import { Watchers } from './watchers.js';

export interface KeepingLoopOptions {
  /** Unique per process incarnation. */
  readonly name: string;
  readonly jobs: JobStore;
  readonly testImages: TestImages;
  readonly mesh: SamplerMesh;
  readonly worker: RowWorker;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Silence after which a sampler is taken for dead; beats come four times as often. */
  readonly detectionMs: number;
}

/** A pause after a sampler was busy, and after an offer failed for another reason. */
const busyPauseMs = 50;
const blocksBusyPauseMs = 250;
/** Then somebody else is offered the row. */
const unfitPauseMs = 20;
const failedPauseMs = 1000;

export class KeepingLoop {
  readonly #o: KeepingLoopOptions;
  readonly #beatMs: number;
  readonly #startedMs: number;
  readonly #watchers: Watchers;
  readonly #timers: Timers;
  readonly #door: RowDoor;
  readonly #offeredBefore = new Set<string>();
  #keeper: KeeperState = emptyKeeper;
  #board: Board = emptyBoard;
  #drain: DrainRate = noDrain;
  #draining = false;
  #stopped = false;
  #adopting: Promise<void> | undefined;

  constructor(options: KeepingLoopOptions) {
    this.#o = options;
    this.#beatMs = Math.max(50, Math.floor(options.detectionMs / 4));
    this.#startedMs = options.clock.nowMs();
    this.#watchers = new Watchers(options.clock);
    this.#timers = new Timers(options.clock);
    this.#door = new RowDoor({
      ...options,
      announce: (event) => this.#announce(event),
      // The beat that names the row goes out before the answer, so that no older beat is heard after it.
      taken: () => this.#beat(),
    });
  }

  /** Begins to listen to the other samplers and to keep jobs. */
  start(): void {
    this.#o.mesh.onEvent((event) => this.#hear(event));
    this.#o.mesh.serveRows((offer) => this.#answer(offer));
    this.#timers.every(this.#beatMs, () => {
      this.#beat();
      this.#board = forgetSilent(this.#board, this.#o.clock.nowMs(), this.#o.detectionMs);
      this.#act();
    });
    this.#timers.every(this.#o.detectionMs, () => void this.adopt());
    this.#beat();
  }

  /** Rows of kept jobs that are not stored yet. */
  get openRows(): number {
    return openRows(this.#keeper);
  }

  /** Rows of kept blocks of evaluations that are not stored yet. */
  get openBlockRows(): number {
    return openRows(this.#keeper, 'evaluations');
  }

  /** Samplers that are heard, this one included. */
  get samplers(): number {
    return this.#board.samplers.size;
  }

  get drainRate(): DrainRate {
    return this.#drain;
  }

  get draining(): boolean {
    return this.#draining;
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  /** Keeps a job that was just accepted. */
  keep(spec: JobSpec): void {
    this.#tell({ type: 'kept', spec, done: [], offersFromMs: 0, askedMs: this.#o.clock.nowMs() });
    this.#act();
  }

  /** Severities of a job's rows that some sampler is heard to compute. */
  running(job: string): ReadonlyMap<number, number> {
    return runningRows(this.#board, job);
  }

  /** Resolves when something of the job was stored, or it ended, or after `timeoutMs`. */
  changed(job: string, timeoutMs: number): Promise<void> {
    return this.#watchers.wait(job, timeoutMs);
  }

  /** Tells everybody, this sampler too, that a client has asked for a job: who keeps it may be another. */
  asked(job: string): void {
    this.#announce({ type: 'asked', sampler: this.#o.name, job });
  }

  /** Tells everybody, this sampler too, that a job's end is written. */
  over(job: string): void {
    this.#announce({ type: 'ended', sampler: this.#o.name, job });
  }

  /** Removes what a block gave; what is left over goes with the job when it is old. */
  async removeResults(spec: JobSpec): Promise<void> {
    const { jobs, logger } = this.#o;
    await jobs
      .removeResults(spec)
      .catch((err: unknown) => logger.warn('Estimates were not removed', { job: spec.id, err }));
  }

  /** Takes over open jobs that nobody alive keeps. */
  async adopt(): Promise<void> {
    this.#adopting ??= this.#adoptOnce()
      .catch((err: unknown) => this.#o.logger.warn('Open jobs could not be looked through', { err }))
      .finally(() => (this.#adopting = undefined));
    await this.#adopting;
  }

  /** Takes on nothing more: no jobs, no rows. */
  async drain(): Promise<void> {
    this.#draining = true;
    await this.#o.mesh.stopServing();
  }

  /** Frees the kept jobs for others, says so, and stops. Call {@link drain} before. */
  async release(): Promise<void> {
    const { jobs, name, clock, mesh } = this.#o;
    const releases = [...this.#keeper.jobs.keys()].map(async (id) => {
      const kept = await jobs.keeper(id);
      if (kept?.keeper === name) await jobs.takeOver(id, '', clock.wallTimeMs(), kept.etag);
    });
    const outcomes = await Promise.allSettled(releases);
    this.#stopped = true;
    this.#timers.stop();
    mesh.announce({ type: 'leave', sampler: name });
    this.#watchers.wakeAll();
    for (const outcome of outcomes)
      if (outcome.status === 'rejected') this.#o.logger.warn('A job was not handed over', { err: outcome.reason });
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
        this.#watchers.wake(event.job);
        break;
      case 'row-failed': {
        const { sampler, job, row, code, message } = event;
        this.#tell({ type: 'row-failed', sampler, job, row, code, message });
        break;
      }
      case 'asked':
        this.#tell({ type: 'asked', job: event.job, askedMs: this.#o.clock.nowMs() });
        return;
      case 'ended':
        this.#forget(event.job);
        break;
    }
    this.#act();
  }

  #rowStored(job: string, row: number): void {
    const kept = this.#keeper.jobs.get(job);
    if (kept === undefined || kept.done.has(row)) return;
    if (!isBlock(kept.spec)) this.#drain = rowFinished(this.#drain, this.#o.clock.nowMs());
    this.#tell({ type: 'row-done', job, row });
  }

  /** An event of this sampler: it hears it itself, and so do the others. */
  #announce(event: SamplerEvent): void {
    this.#o.mesh.announce(event);
    this.#hear(event);
  }

  #beat(): void {
    const event: SamplerEvent = { type: 'beat', sampler: this.#o.name, rows: this.#door.rows() };
    this.#o.mesh.announce(event);
    this.#board = boardAfter(this.#board, event, this.#o.clock.nowMs());
  }

  #answer(offer: RowOffer): RowAnswer {
    return this.#draining ? { answer: 'busy', sampler: this.#o.name } : this.#door.answer(offer);
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
    let unfit: string | undefined;
    try {
      if (this.#offeredBefore.has(key) && (await jobs.hasResult(spec.id, row))) {
        this.#rowStored(spec.id, row); // the word of it was lost
      } else {
        this.#offeredBefore.add(key);
        const { answer, sampler } = await mesh.offer({ spec, row }).catch((err: unknown) => {
          logger.debug('Nobody answered an offer; trying here', { err });
          return this.#answer({ spec, row });
        });
        if (answer === 'busy') busyUntilMs = clock.nowMs() + (isBlock(spec) ? blocksBusyPauseMs : busyPauseMs);
        else if (answer === 'unfit') {
          unfit = sampler;
          busyUntilMs = clock.nowMs() + unfitPauseMs;
        } else if (!this.#board.rows.has(key) && this.#keeper.jobs.get(spec.id)?.done.has(row) === false)
          this.#board = rowTaken(this.#board, spec.id, row, sampler, spec.severities[0]!, clock.nowMs());
      }
    } catch (err) {
      logger.warn('A row could not be offered', { job: spec.id, row, err });
      busyUntilMs = clock.nowMs() + failedPauseMs;
    }
    this.#tell({ type: 'answered', job: spec.id, row, busyUntilMs, unfit });
    if (busyUntilMs === undefined) this.#act();
    else this.#timers.later(busyUntilMs - clock.nowMs(), () => this.#act());
  }

  async #end({ job, state, code, message }: Extract<KeeperEffect, { type: 'end' }>): Promise<void> {
    const { jobs, clock, logger } = this.#o;
    this.#tell({ type: 'ending', job });
    const end: JobEnd = { format: 'thaw.job-end/1', state, code, message, endedMs: clock.wallTimeMs() };
    try {
      await jobs.putEnd(job, end);
      logger.info('A job is over', { job, state, code });
      const spec = this.#keeper.jobs.get(job)?.spec;
      this.over(job);
      if (spec !== undefined && isBlock(spec)) await this.removeResults(spec);
    } catch (err) {
      logger.warn('The end of a job could not be written; trying again', { job, err });
      this.#tell({ type: 'end-failed', job });
    }
  }

  #forget(job: string): void {
    for (const { key } of this.#o.worker.held()) if (key.startsWith(`${job}/`)) this.#o.worker.cancel(key);
    for (const key of this.#offeredBefore) if (key.startsWith(`${job}/`)) this.#offeredBefore.delete(key);
    this.#tell({ type: 'dropped', job });
    this.#watchers.wake(job);
  }

  async #adoptOnce(): Promise<void> {
    const { clock, detectionMs } = this.#o;
    await takeOverOpenJobs({
      ...this.#o,
      // Whoever has just started has not heard anybody yet.
      judging: clock.nowMs() - this.#startedMs >= detectionMs,
      keeps: (id) => this.#draining || this.#keeper.jobs.has(id),
      lives: (sampler) => this.#board.samplers.has(sampler),
      keep: (spec, done) => {
        const nowMs = clock.nowMs();
        this.#tell({ type: 'kept', spec, done, offersFromMs: nowMs + 2 * this.#beatMs, askedMs: nowMs });
        for (let row = 0; row < spec.count; row++) this.#offeredBefore.add(rowKey(spec.id, row));
      },
    });
    this.#act();
  }
}
