/**
 * Follows a channel: the newest head is loaded and warmed beside the present version, and takes its place only when it verified. A head that
 * does not verify is never served: the present version stays, and the reason is logged and shown.
 */
import { ThawError } from '@thaw/shared/protocol';
import type { Clock, Logger, Timer } from '@thaw/shared/runtime';
import type { ModelSource, ModelVersion } from '../ports.js';
import { asThawError, versionKey } from '../work/index.js';

export interface VersionFollowerOptions {
  readonly models: ModelSource;
  readonly channel: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly pollMs: number;
  readonly onVersion?: (version: ModelVersion) => void;
}

/** A version that could not be loaded is tried again after this time, and at once when the head moves. */
const retryMs = 10_000;

export class VersionFollower {
  readonly #options: VersionFollowerOptions;
  #current: ModelVersion | undefined;
  #refused: { key: string; untilMs: number } | undefined;
  #problem: ThawError | undefined;
  #timer: Timer | undefined;
  #looking: Promise<void> | undefined;
  #again = false;
  #stopped = false;

  constructor(options: VersionFollowerOptions) {
    this.#options = options;
  }

  /** The version that is served. */
  get current(): ModelVersion | undefined {
    return this.#current;
  }

  get channel(): string {
    return this.#options.channel;
  }

  /** Why there is no version, or why the head is not served. */
  get problem(): ThawError | undefined {
    return this.#problem;
  }

  start(): void {
    void this.look();
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  /** Looks at the channel now (an announcement was heard). Resolves when the head seen is served or refused. */
  async look(): Promise<void> {
    if (this.#looking !== undefined) {
      this.#again = true;
      return this.#looking;
    }
    this.#timer?.cancel();
    this.#looking = (async () => {
      do {
        this.#again = false;
        await this.#lookOnce();
      } while (this.#again && !this.#stopped);
    })();
    await this.#looking;
    this.#looking = undefined;
    if (!this.#stopped) this.#timer = this.#options.clock.setTimer(this.#options.pollMs, () => void this.look());
  }

  async #lookOnce(): Promise<void> {
    const { models, channel, clock, logger, onVersion } = this.#options;
    let head: ModelVersion | undefined;
    try {
      head = await models.headOf(channel);
      if (head === undefined) {
        this.#problem ??= new ThawError(
          'THAW_MODEL_NOT_READY',
          `Nothing has been promoted to the channel "${channel}" yet.`,
        );
        return;
      }
      const key = versionKey(head);
      if (this.#current !== undefined && versionKey(this.#current) === key) {
        this.#problem = undefined;
        return;
      }
      if (this.#refused?.key === key && clock.nowMs() < this.#refused.untilMs) return;
      await models.load(head);
      if (this.#stopped) return;
      this.#current = head;
      this.#problem = this.#refused = undefined;
      logger.info('Serving a new version', { channel, run: head.run, step: head.step });
      onVersion?.(head);
    } catch (error) {
      const problem = asThawError(error);
      this.#problem = problem;
      if (head !== undefined) this.#refused = { key: versionKey(head), untilMs: clock.nowMs() + retryMs };
      logger.error('The head of the channel is not served', {
        channel,
        step: head?.step,
        code: problem.code,
        reason: problem.message,
        stillServing: this.#current?.step,
      });
    }
  }
}
