/** The loop around the coordinator's machine: NATS, plan object and clock in; effects out, in order. */
import {
  AnnouncementSchema,
  HeartbeatAnswerSchema,
  HeartbeatSchema,
  LeaseHandOutSchema,
  StepReportSchema,
  ThawError,
  controlSubjects,
  decodeMessage,
  decodePlanObject,
  encodeMessage,
  encodePlanObject,
  planKey,
} from '@thaw/shared/protocol';
import type { Clock, Logger } from '@thaw/shared/runtime';
import type { ObjectStore } from '@thaw/shared/storage';
import type { ControlLink, Subscription } from '@thaw/shared/transport';
import type { Coordinator, CoordinatorEffect, CoordinatorEvent } from '../lead/index.js';

export interface ShellOptions {
  readonly run: string;
  readonly machine: Coordinator;
  readonly control: ControlLink;
  readonly store: ObjectStore;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly heartbeatMs: number;
  /** Performs `commitManifest`; resolves when the manifest is there. */
  readonly commitManifest: (effect: Extract<CoordinatorEffect, { kind: 'commitManifest' }>) => Promise<void>;
  /** Sees every effect after it was performed: views, promotion, metrics. */
  readonly onEffect: (effect: CoordinatorEffect) => void;
}

const words = (error: unknown): string =>
  error instanceof ThawError ? `${error.code}: ${error.message}` : String(error);

export class CoordinatorShell {
  readonly #options: ShellOptions;
  readonly #events: CoordinatorEvent[] = [];
  readonly #requests = new Map<number, { resolve: (reply: Uint8Array) => void; reject: (error: Error) => void }>();
  readonly #subscriptions: Subscription[] = [];
  #serving: Subscription | undefined;
  #nextRequest = 1;
  #handling = false;
  #stopped = false;
  #released: (() => void) | undefined;

  constructor(options: ShellOptions) {
    this.#options = options;
  }

  start(): void {
    const { run, control, clock, heartbeatMs, logger } = this.#options;
    this.#subscriptions.push(
      control.subscribe(controlSubjects.stepReport(run), (bytes) => {
        try {
          this.dispatch({ kind: 'stepReport', message: decodeMessage(StepReportSchema, bytes) });
        } catch (error) {
          logger.warn('A step report was dropped', { problem: words(error) });
        }
      }),
    );
    const tick = (): void => {
      if (this.#stopped) return;
      this.dispatch({ kind: 'tick' });
      clock.setTimer(heartbeatMs / 4, tick);
    };
    this.dispatch({ kind: 'start' });
    clock.setTimer(heartbeatMs / 4, tick);
  }

  /** Gives the lead up, so that a standby need not wait; resolves when that is written, or after `graceMs`. */
  async release(graceMs: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = this.#options.clock.setTimer(graceMs, resolve);
      this.#released = () => {
        timer.cancel();
        resolve();
      };
      this.dispatch({ kind: 'release' });
    });
    this.#stopped = true;
    this.#stopServing('this coordinator stops');
    for (const subscription of this.#subscriptions) subscription.unsubscribe();
  }

  dispatch(event: CoordinatorEvent): void {
    if (this.#stopped) return;
    this.#events.push(event);
    if (this.#handling) return;
    this.#handling = true;
    try {
      for (let next = this.#events.shift(); next !== undefined; next = this.#events.shift())
        for (const effect of this.#options.machine.handle(next, this.#options.clock.nowMs())) {
          this.#perform(effect);
          this.#options.onEffect(effect);
        }
    } finally {
      this.#handling = false;
    }
  }

  #later(work: () => Promise<CoordinatorEvent>, onFailure: (message: string) => CoordinatorEvent): void {
    void work()
      .catch((error: unknown) => onFailure(words(error)))
      .then((event) => this.dispatch(event));
  }

  #perform(effect: CoordinatorEffect): void {
    const { run, control, store, logger } = this.#options;
    const planFailed = (message: string): CoordinatorEvent => {
      logger.warn('The plan object could not be read or written', { problem: message });
      return { kind: 'planFailed', message };
    };
    switch (effect.kind) {
      case 'readPlan':
        return this.#later(async () => {
          const found = await store.get(planKey(run));
          return { kind: 'planRead', found: found && { plan: decodePlanObject(run, found.bytes), etag: found.etag } };
        }, planFailed);
      case 'swapPlan':
        return this.#later(async () => {
          const bytes = encodePlanObject(effect.plan);
          if (effect.expectedEtag === undefined) {
            const { created, etag } = await store.putIfAbsent(planKey(run), bytes);
            return { kind: 'planSwapped', swapped: created, etag };
          }
          const { swapped, etag } = await store.compareAndSwap(planKey(run), bytes, effect.expectedEtag);
          return { kind: 'planSwapped', swapped, ...(etag === undefined ? {} : { etag }) };
        }, planFailed);
      case 'announce':
        return control.publish(
          controlSubjects.announcement(run),
          encodeMessage(AnnouncementSchema, effect.announcement),
        );
      case 'answer':
        this.#requests.get(effect.request)?.resolve(encodeMessage(HeartbeatAnswerSchema, effect.answer));
        this.#requests.delete(effect.request);
        return;
      case 'handLeases':
        return control.publish(
          controlSubjects.leases(run, effect.handOut.to),
          encodeMessage(LeaseHandOutSchema, effect.handOut),
        );
      case 'commitManifest':
        return this.#later(
          async () => {
            await this.#options.commitManifest(effect);
            return { kind: 'manifestCommitted', step: effect.head.step };
          },
          (message) => {
            logger.error('A checkpoint could not be committed', { step: effect.head.step, problem: message });
            return { kind: 'manifestFailed', step: effect.head.step, message };
          },
        );
      case 'lead':
        logger.info('This coordinator leads', { epoch: effect.epoch, generation: effect.plan.generation });
        return this.#serve();
      case 'stepDown':
        logger.warn('This coordinator does not lead any more', { reason: effect.reason });
        return this.#stopServing(effect.reason);
      case 'planChanged':
        return logger.info('Plan changed', {
          generation: effect.plan.generation,
          members: effect.plan.members,
          reason: effect.reason,
        });
      case 'stepKnown':
        if (effect.result.skippedLanes.length > 0)
          logger.warn('A step was skipped: a gradient was not finite', { ...effect.result });
        return;
      case 'checkpointCommitted':
        return logger.info('Checkpoint committed', { step: effect.step });
      case 'checkpointAbandoned':
        return logger.warn('Checkpoint abandoned', { step: effect.step, reason: effect.reason });
      case 'straggler':
        return logger.warn('A trainer is much slower than the others', {
          id: effect.id,
          laneMs: effect.laneMs,
          medianMs: effect.medianMs,
          evicted: effect.evicted,
        });
      case 'trainerRefused':
        return logger.error('A trainer was refused', { id: effect.id, problem: effect.message });
      case 'alarm':
        return logger.error(effect.message, { code: effect.code });
      case 'finished':
        return logger.info('The run is finished', { step: effect.step });
      case 'halted':
        return logger.error('The run halted', { step: effect.step, reason: effect.reason });
      case 'released':
        return this.#released?.();
    }
  }

  #serve(): void {
    const { run, control } = this.#options;
    this.#serving ??= control.serve(controlSubjects.heartbeat(run), (bytes) => {
      const message = decodeMessage(HeartbeatSchema, bytes);
      const request = this.#nextRequest++;
      return new Promise<Uint8Array>((resolve, reject) => {
        this.#requests.set(request, { resolve, reject });
        this.dispatch({ kind: 'heartbeat', request, message });
      });
    });
  }

  #stopServing(reason: string): void {
    this.#serving?.unsubscribe();
    this.#serving = undefined;
    for (const { reject } of this.#requests.values()) reject(new ThawError('THAW_TRANSPORT_UNAVAILABLE', reason));
    this.#requests.clear();
  }
}
