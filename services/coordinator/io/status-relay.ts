/** The leader tells its status to the coordinators that stand by; these answer with it, so that it does not matter whom a client asks. */
import { controlSubjects, decodeMessage, encodeMessage } from '@thaw/shared/protocol';
import type { Clock, Health, Logger } from '@thaw/shared/runtime';
import type { ControlLink } from '@thaw/shared/transport';
import { FollowedStatus, LeaderStatusSchema, type LeaderStatus } from '../views/followed-status.js';
import type { Status } from '../views/status.js';

export interface StatusRelayOptions {
  readonly run: string;
  readonly control: ControlLink;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly health: Health;
  /** After so long without news of a leader nobody is followed. */
  readonly ttlMs: number;
  readonly leading: () => boolean;
  /** What this coordinator knows by itself. */
  readonly own: () => Status;
}

export class StatusRelay {
  readonly #options: StatusRelayOptions;
  readonly #followed: FollowedStatus;
  readonly #stop: () => void;

  constructor(options: StatusRelayOptions) {
    const { run, control, clock, logger, health, leading } = options;
    this.#options = options;
    const followed = new FollowedStatus(options.ttlMs);
    this.#followed = followed;
    const subscription = control.subscribe(controlSubjects.status(run), (bytes) => {
      if (leading()) return;
      try {
        followed.heard(decodeMessage(LeaderStatusSchema, bytes), clock.nowMs());
      } catch (error) {
        logger.warn("A leader's status was dropped", { problem: (error as Error).message });
      }
    });
    this.#stop = () => subscription.unsubscribe();
    health.register('lead', 'ready', (nowMs) =>
      leading() || followed.at(nowMs) !== undefined
        ? { ok: true }
        : { ok: false, reason: 'No coordinator leads this run yet, or its messages do not arrive.' },
    );
  }

  /** The leader's status: one's own, or the one that is told; one's own as well when nobody leads. */
  status(): Status {
    const { leading, own, clock } = this.#options;
    return (leading() ? undefined : this.#followed.at(clock.nowMs())) ?? own();
  }

  /** Tells the others; called by the leader. */
  tell(message: LeaderStatus): void {
    const { run, control } = this.#options;
    control.publish(controlSubjects.status(run), encodeMessage(LeaderStatusSchema, message));
  }

  stop(): void {
    this.#stop();
  }
}
