/** What follows a committed checkpoint: the automatic channel is moved to it, a sampler evaluates it, and the gate of the gated channel decides. */
import {
  EvaluateRequestSchema,
  EvaluateResultSchema,
  decodeMessage,
  encodeMessage,
  samplerSubjects,
  ThawError,
  type EvaluateResult,
} from '@thaw/shared/protocol';
import type { Clock, Logger } from '@thaw/shared/runtime';
import { promote, readHead, type ObjectStore, type RecordSigner } from '@thaw/shared/storage';
import type { ControlLink } from '@thaw/shared/transport';
import { Gate } from './gate.js';

export interface PromotionOptions {
  readonly run: string;
  readonly channel: string;
  readonly store: ObjectStore;
  readonly control: ControlLink;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signer?: RecordSigner | undefined;
  /** Test images; 0 evaluates nothing. */
  readonly evaluationImages: number;
  /** A channel that takes only what its gate lets in; `margin` as in `judge`. */
  readonly gated?: { readonly channel: string; readonly margin: number } | undefined;
  readonly onMoved: (channel: string) => void;
  readonly onEvaluated: (result: EvaluateResult) => void;
}

/** Then it is asked for again: the same sampler joins the work under way, another answers for one that died. */
const evaluateTimeoutMs = 90_000;
const retryMs = 2000;

export class Promotion {
  readonly #options: PromotionOptions;
  /** Newest checkpoint not yet evaluated; older ones that were overtaken are left out. */
  #wanted: number | undefined;
  #evaluating = false;
  #stopped = false;
  #moving: Promise<void> = Promise.resolve();
  readonly #gate: Gate | undefined;

  constructor(options: PromotionOptions) {
    this.#options = options;
    const { gated, store, clock, logger, signer, onMoved } = options;
    if (gated !== undefined)
      this.#gate = new Gate({
        ...{ ...gated, store, clock, logger, signer, onMoved },
        evaluate: (run, step) => this.#scores(run, step),
      });
  }

  /** Idempotent: a checkpoint that the channel serves, or has gone past, is not promoted again. */
  committed(step: number): void {
    this.#moving = this.#moving.then(() => this.#promote(step));
    this.#wanted = step;
    void this.#evaluate();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#moving;
  }

  async #promote(step: number): Promise<void> {
    const { run, channel, store, clock, logger, signer } = this.#options;
    try {
      const head = await readHead(store, channel);
      if (head?.serving?.run === run && head.serving.step >= step) return;
      const { record, sha256 } = await promote(
        store,
        channel,
        { run, step },
        { actor: 'policy:every-checkpoint', timeMs: clock.wallTimeMs(), reason: `checkpoint ${step} was committed` },
        signer === undefined ? {} : { signer },
      );
      // The chain's head in the log is an anchor outside the store: who rewrites the records cannot rewrite this line.
      logger.info('Channel moved', { channel, seq: record.seq, step, sha256 });
      this.#options.onMoved(channel);
    } catch (error) {
      logger.error('The channel could not be moved', { channel, step, err: error });
    }
  }

  async #evaluate(): Promise<void> {
    const { run, clock, logger, evaluationImages } = this.#options;
    if (this.#evaluating || evaluationImages === 0) return;
    this.#evaluating = true;
    while (this.#wanted !== undefined && !this.#stopped) {
      const step = this.#wanted;
      try {
        const result = await this.#scores(run, step);
        this.#options.onEvaluated(result);
        await this.#gate?.decide(result);
        if (this.#wanted === step) this.#wanted = undefined;
      } catch (error) {
        const quiet = error instanceof ThawError && error.code === 'THAW_TRANSPORT_NO_RESPONDER';
        if (!quiet)
          logger.warn('An evaluation failed and will be asked for again', { step, problem: (error as Error).message });
        await new Promise<void>((resolve) => clock.setTimer(retryMs, resolve));
      }
    }
    this.#evaluating = false;
  }

  /** Some sampler's; stored scores of the same images are given again. */
  async #scores(run: string, step: number): Promise<EvaluateResult> {
    const { control, evaluationImages } = this.#options;
    const body = encodeMessage(EvaluateRequestSchema, { run, step, split: 'test', count: evaluationImages });
    const reply = await control.request(samplerSubjects.evaluate, body, { timeoutMs: evaluateTimeoutMs });
    return decodeMessage(EvaluateResultSchema, reply);
  }
}
