/** The newest checkpoint of the run: the parent of the next one, and where a new leader goes on. */
import type { Clock, Logger } from '@thaw/shared/runtime';
import { newestCheckpoint, type CheckpointRef, type ObjectStore, type StoredRun } from '@thaw/shared/storage';
import type { CoordinatorEffect } from '../lead/index.js';
import { commitCheckpoint } from './checkpoints.js';

export interface LineageOptions {
  readonly store: ObjectStore;
  readonly run: StoredRun;
  readonly dataset: { readonly name: string; readonly sha256: string };
  readonly clock: Clock;
  readonly logger: Logger;
}

export class Lineage {
  readonly #options: LineageOptions;
  #newest: CheckpointRef | null = null;
  #known: Promise<number | null> | undefined;

  constructor(options: LineageOptions) {
    this.#options = options;
  }

  /** Another coordinator may have committed since: the store is asked again before anything is built on what is known. */
  expire(): void {
    this.#known = undefined;
  }

  /** Boundary of the newest checkpoint that can be read, null for none. A failure is tried again by the next call. */
  newestStep(): Promise<number | null> {
    const known = (this.#known ??= this.#read());
    known.catch(() => {
      if (this.#known === known) this.#known = undefined;
    });
    return known;
  }

  async #read(): Promise<number | null> {
    const { store, run, logger } = this.#options;
    const found = await newestCheckpoint(store, run.config.name, (problem, step) =>
      logger.error('A checkpoint cannot be read', { step, problem: problem.message }),
    );
    if (found === undefined) return null;
    const { step } = found.manifest;
    if (this.#newest === null || step >= this.#newest.step)
      this.#newest = { run: run.config.name, step, manifestSha256: found.manifestSha256 };
    return step;
  }

  /** Writes the manifest of a checkpoint as the child of the newest one below it. */
  async commit(effect: Extract<CoordinatorEffect, { kind: 'commitManifest' }>): Promise<void> {
    await this.newestStep();
    const parent = this.#newest !== null && this.#newest.step < effect.head.step ? this.#newest : null;
    const committed = await commitCheckpoint({ ...this.#options, parent }, effect);
    if (this.#newest === null || committed.step >= this.#newest.step) this.#newest = committed;
  }
}
