/** A gated channel: evaluated checkpoints are let in or refused, each decision a record that names its stored evidence. */
import type { EvaluateResult } from '@thaw/shared/protocol';
import { ThawError } from '@thaw/shared/protocol';
import type { Clock, Logger } from '@thaw/shared/runtime';
import {
  promote,
  putBlob,
  readLog,
  readManifest,
  refuse,
  type CheckpointRef,
  type ObjectStore,
  type RecordSigner,
} from '@thaw/shared/storage';
import { judge, unproven } from '../gate/index.js';

export interface GateOptions {
  readonly channel: string;
  /** See `judge`. */
  readonly margin: number;
  readonly store: ObjectStore;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signer?: RecordSigner | undefined;
  /** The scores of a checkpoint of any run, on the same images as the candidate's. */
  readonly evaluate: (run: string, step: number) => Promise<EvaluateResult>;
  readonly onMoved: (channel: string) => void;
}

const actor = 'policy:gated';

export class Gate {
  readonly #o: GateOptions;

  constructor(options: GateOptions) {
    this.#o = options;
  }

  /**
   * Decides about a checkpoint, once: one that the log promotes or refuses already, or that a later one of its run has overtaken there, is
   * left alone, also after a rollback.
   * @throws ThawError THAW_CHANNEL_MOVED if somebody moved the channel meanwhile: ask again; THAW_CHECKPOINT_INVALID if a manifest is not
   *   the one that was evaluated, or served
   */
  async decide(candidate: EvaluateResult): Promise<void> {
    const { channel, margin, store, clock, logger, signer, evaluate, onMoved } = this.#o;
    const { run, step } = candidate;
    let expectedSeq = 0;
    let head: CheckpointRef | null = null;
    for await (const { record } of readLog(store, channel)) {
      if (record.run === run && record.step >= step) return;
      expectedSeq = record.seq;
      head = record.head;
    }
    const unknown = await this.#missingProvenance(candidate);
    const served = head === null ? null : await evaluate(head.run, head.step);
    if (head !== null && served?.manifestSha256 !== head.manifestSha256)
      throw new ThawError(
        'THAW_CHECKPOINT_INVALID',
        `Step ${head.step} of run ${head.run} is not what channel ${channel} serves.`,
      );
    const verdict = unknown === undefined ? judge(candidate, served, margin) : unproven(unknown);
    const evidence = await putBlob(
      store,
      new TextEncoder().encode(
        `${JSON.stringify({ format: 'thaw.gate/1', channel, margin, ...verdict, candidate, served }, undefined, 1)}\n`,
      ),
    );
    const { record, sha256 } = await (verdict.admitted ? promote : refuse)(
      store,
      channel,
      { run, step },
      { actor, timeMs: clock.wallTimeMs(), reason: verdict.reason, evidence },
      { expectedSeq, ...(signer === undefined ? {} : { signer }) },
    );
    const fields = { channel, seq: record.seq, step, sha256, reason: verdict.reason };
    if (!verdict.admitted) return logger.warn('The gate refused a checkpoint', fields);
    logger.info('Channel moved', fields);
    onMoved(channel);
  }

  /**
   * What keeps the scores from being those of the stored manifest, which names configuration, data set, engine, history and the hash of
   * the weights.
   * @throws ThawError THAW_CHECKPOINT_INVALID if another manifest was evaluated: to be evaluated anew
   */
  async #missingProvenance(candidate: EvaluateResult): Promise<string | undefined> {
    const { run, step, dataset } = candidate;
    const { manifest, manifestSha256 } = await readManifest(this.#o.store, run, step);
    if (manifestSha256 !== candidate.manifestSha256)
      throw new ThawError(
        'THAW_CHECKPOINT_INVALID',
        `Step ${step} of run ${run} has the manifest ${manifestSha256}; ${candidate.manifestSha256} was evaluated.`,
      );
    if (manifest.dataset.name !== dataset) return `trained on ${manifest.dataset.name}, evaluated on ${dataset}`;
    return manifest.weightsSha256 === undefined ? 'the manifest does not name the hash of the weights' : undefined;
  }
}
