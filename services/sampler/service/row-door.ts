/** Answers offers of rows, and says which rows of jobs this sampler computes. */
import type { JobSpec, RowAnswer, RowOffer, SamplerEvent } from '@thaw/shared/protocol';
import type { Logger } from '@thaw/shared/runtime';
import { isBlock } from '../jobs/index.js';
import type { TestImages } from '../ports.js';
import { asThawError, type RowTask, type RowWorker } from '../work/index.js';
import { estimateTask } from './estimate-task.js';
import type { JobStore } from './job-store.js';
import { rowTask, type RowTaskWorld } from './row-task.js';

export interface RowDoorParts {
  readonly name: string;
  readonly worker: RowWorker;
  readonly jobs: JobStore;
  readonly testImages: TestImages;
  readonly logger: Logger;
  announce(event: SamplerEvent): void;
  /** A row was taken. Told before the answer is given. */
  taken(): void;
}

/** Rows of evaluations held at once: some calls' worth, so that others get the rest. */
export const mostBlockRowsHeld = 32;
/** The key of a row of a job. */
const jobRow = /^([0-9a-f]{32})\/(\d+)$/;

export class RowDoor {
  readonly #o: RowDoorParts;
  /** Checkpoints with fingerprints of evaluations that are not those of this sampler. */
  readonly #unfit = new Set<string>();

  constructor(parts: RowDoorParts) {
    this.#o = parts;
  }

  answer({ spec, row }: RowOffer): RowAnswer {
    const { name, worker, taken } = this.#o;
    if (isBlock(spec) && this.#unfit.has(bitsOf(spec))) return { answer: 'unfit', sampler: name };
    const full = isBlock(spec) && this.#blockRows() >= mostBlockRowsHeld;
    if (full || row >= spec.count) return { answer: 'busy', sampler: name };
    const answer = worker.add(this.#task(spec, row));
    if (answer === 'accepted') taken();
    return { answer, sampler: name };
  }

  /** Rows of jobs that are computed here. The scoring of checkpoints is nobody else's business. */
  rows(): { job: string; row: number; severity: number }[] {
    return this.#o.worker.held().flatMap(({ key, severity }) => {
      const match = jobRow.exec(key);
      return match === null ? [] : [{ job: match[1]!, row: Number(match[2]), severity: severity ?? 0 }];
    });
  }

  #blockRows(): number {
    return this.#o.worker.held().filter(({ key, priority }) => priority === 'evaluation' && jobRow.test(key)).length;
  }

  #task(spec: JobSpec, row: number): RowTask {
    const { name, jobs, testImages, logger, announce } = this.#o;
    const job = spec.id;
    const world: RowTaskWorld = {
      jobs,
      testImages,
      stored: (severity) => announce({ type: 'stored', sampler: name, job, row, severity }),
      failed: (error) => {
        const { code, message } = asThawError(error);
        if (isBlock(spec) && code === 'THAW_FINGERPRINT_MISMATCH') this.#unfit.add(bitsOf(spec));
        logger.error('A row failed', { job, row, code, err: error });
        announce({ type: 'row-failed', sampler: name, job, row, code, message: message.slice(0, 2000) });
      },
    };
    return isBlock(spec) ? estimateTask(spec, row, name, world) : rowTask(spec, row, world);
  }
}

/** Which bits an evaluation wants. */
const bitsOf = ({ version, evaluation }: JobSpec): string => `${version.manifestSha256}/${evaluation?.fingerprint}`;
