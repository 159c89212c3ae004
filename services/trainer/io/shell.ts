/** The loop around the trainer's machine: turns messages, timers and finished work into events and performs its effects in order. */
import {
  AnnouncementSchema,
  HeartbeatAnswerSchema,
  HeartbeatSchema,
  LeaseHandOutSchema,
  StepReportSchema,
  bulkSubjects,
  controlSubjects,
  decodeMessage,
  encodeMessage,
  decodePlanObject,
  planKey,
  ThawError,
} from '@thaw/shared/protocol';
import type { Clock, Logger } from '@thaw/shared/runtime';
import type { ObjectStore } from '@thaw/shared/storage';
import type { BulkLink, ControlLink } from '@thaw/shared/transport';
import type { TrainerEffect, TrainerEvent, LoadedState } from '../member/events.js';
import type { Trainer } from '../member/index.js';
import { nextTurn } from './next-turn.js';
import type { CheckpointCopy } from './checkpoint-copy.js';
import type { LaneRunner } from './lane-runner.js';
import type { LaneSource } from './lane-source.js';
import type { TrainerGauges } from './gauges.js';

export interface ShellOptions {
  readonly run: string;
  readonly id: string;
  readonly machine: Trainer;
  readonly control: ControlLink;
  readonly bulk: BulkLink;
  readonly store: ObjectStore;
  readonly source: LaneSource;
  readonly checkpoint: CheckpointCopy;
  readonly loadState: () => Promise<LoadedState>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly gauges: TrainerGauges;
  readonly heartbeatMs: number;
  /** The trainer is done, with the process's exit code. Called once. */
  readonly onEnd: (code: number, reason: string) => void;
}

export class TrainerShell {
  readonly #options: ShellOptions;
  readonly #events: TrainerEvent[] = [];
  readonly #unsubscribe: (() => void)[] = [];
  #lanes: LaneRunner | undefined;
  #handling = false;
  #ended = false;
  #lastHeartbeatProblem = '';

  constructor(options: ShellOptions) {
    this.#options = options;
  }

  start(lanes: LaneRunner): void {
    this.#lanes = lanes;
    const { run, id, control, bulk, clock, heartbeatMs } = this.#options;
    const onFrame = (_subject: string, bytes: Uint8Array): void => this.dispatch({ kind: 'frame', bytes });
    const subscriptions = [
      bulk.subscribe(bulkSubjects.all(run), onFrame),
      bulk.subscribe(bulkSubjects.to(run, id), onFrame),
      control.subscribe(controlSubjects.announcement(run), (bytes) =>
        this.#receive(() => ({ kind: 'announcement', announcement: decodeMessage(AnnouncementSchema, bytes) })),
      ),
      control.subscribe(controlSubjects.leases(run, id), (bytes) =>
        this.#receive(() => ({ kind: 'leases', handOut: decodeMessage(LeaseHandOutSchema, bytes) })),
      ),
    ];
    for (const subscription of subscriptions) this.#unsubscribe.push(() => subscription.unsubscribe());
    const tick = (): void => {
      if (this.#ended) return;
      this.dispatch({ kind: 'tick' });
      clock.setTimer(heartbeatMs / 4, tick);
    };
    this.dispatch({ kind: 'start' });
    clock.setTimer(heartbeatMs / 4, tick);
  }

  dispatch(event: TrainerEvent): void {
    if (this.#ended) return;
    this.#events.push(event);
    if (this.#handling) return;
    this.#handling = true;
    try {
      for (let next = this.#events.shift(); next !== undefined && !this.#ended; next = this.#events.shift())
        for (const effect of this.#options.machine.handle(next, this.#options.clock.nowMs())) this.#perform(effect);
    } finally {
      this.#handling = false;
    }
  }

  /** A message that does not follow the protocol is logged and dropped: it is somebody else's mistake, or an attack. */
  #receive(toEvent: () => TrainerEvent): void {
    let event: TrainerEvent;
    try {
      event = toEvent();
    } catch (error) {
      this.#options.logger.warn('A message was dropped', { problem: (error as Error).message });
      return;
    }
    this.dispatch(event);
  }

  /** Runs asynchronous work; its event, or `onFailure`'s, comes back to the machine. */
  #later(work: () => Promise<TrainerEvent> | TrainerEvent, onFailure: (message: string) => TrainerEvent): void {
    void Promise.resolve()
      .then(work)
      .catch((error: unknown) =>
        onFailure(error instanceof ThawError ? `${error.code}: ${error.message}` : String(error)),
      )
      .then((event) => this.dispatch(event));
  }

  #perform(effect: TrainerEffect): void {
    const { run, control, bulk, store, source, checkpoint, logger, gauges } = this.#options;
    switch (effect.kind) {
      case 'computeLane':
        return this.#lanes!.start(effect.step, effect.lane);
      case 'cancelLanes':
        return this.#lanes!.cancelThrough(effect.step);
      case 'cancelLane':
        return this.#lanes!.cancel(effect.step, effect.lane);
      case 'releaseGradient':
        return this.#lanes!.release(effect.gradient);
      case 'sendFrame': {
        // Shared memory would be sent in place, and the machine goes on writing to it: take a copy.
        const parts = effect.parts.map((part) =>
          part.buffer instanceof SharedArrayBuffer ? new Uint8Array(part) : part,
        );
        return bulk.publish(effect.to === 'all' ? bulkSubjects.all(run) : bulkSubjects.to(run, effect.to.id), parts);
      }
      case 'heartbeat':
        return this.#heartbeat(encodeMessage(HeartbeatSchema, effect.message));
      case 'stepReport':
        return control.publish(controlSubjects.stepReport(run), encodeMessage(StepReportSchema, effect.message));
      case 'readPlan':
        return this.#later(
          async () => {
            const found = await store.get(planKey(run));
            return { kind: 'planRead', plan: found === undefined ? undefined : decodePlanObject(run, found.bytes) };
          },
          (message) => {
            logger.warn('The plan object could not be read', { problem: message });
            return { kind: 'planRead', plan: undefined };
          },
        );
      case 'loadState':
        return this.#later(
          async () => ({ kind: 'stateLoaded', state: await this.#options.loadState() }),
          (message) => {
            logger.error('The state could not be loaded', { problem: message });
            return { kind: 'stateLoadFailed', message };
          },
        );
      case 'copyState':
        return checkpoint.take(effect.head, effect.arrays);
      case 'continue':
        return void nextTurn().then(() => this.dispatch({ kind: 'continue' }));
      case 'dropCopy':
        return checkpoint.drop(effect.step);
      case 'writeSlice':
        return this.#later(
          () => checkpoint.write(effect.step, effect.slice, effect.readBack),
          (message) => ({ kind: 'sliceFailed', step: effect.step, slice: effect.slice, message }),
        );
      case 'digestSlice':
        return this.#later(
          () => checkpoint.digest(effect.step, effect.slice),
          (message) => ({ kind: 'sliceFailed', step: effect.step, slice: effect.slice, message }),
        );
      case 'holdLeases':
        return source.hold(effect.leases);
      case 'planAdopted':
        return logger.info('Plan adopted', { generation: effect.plan.generation, lanes: effect.lanes });
      case 'stateTaken':
        gauges.step(effect.head.step);
        return logger.info('State taken', { step: effect.head.step, from: effect.from });
      case 'stepApplied':
        gauges.applied(effect.result, effect.head.step);
        source.forget(effect.head.step);
        if (effect.result.skippedLanes.length > 0)
          logger.warn('Step skipped: a gradient was not finite', { ...effect.result });
        return;
      case 'alarm':
        return logger.error(effect.message, { code: effect.code });
      case 'finished':
        gauges.finished();
        return logger.info('All steps are done', { step: effect.step });
      case 'halted':
        gauges.finished();
        return logger.error('The run halted', { step: effect.step, reason: effect.reason });
      case 'refused':
        logger.fatal(effect.message, { code: effect.code });
        return this.#end(3, effect.message);
      case 'left':
        return this.#end(0, 'left the run');
    }
  }

  #heartbeat(bytes: Uint8Array): void {
    const { run, control, heartbeatMs, logger } = this.#options;
    control.request(controlSubjects.heartbeat(run), bytes, { timeoutMs: 2 * heartbeatMs }).then(
      (reply) => {
        this.#lastHeartbeatProblem = '';
        this.#receive(() => ({ kind: 'heartbeatAnswer', answer: decodeMessage(HeartbeatAnswerSchema, reply) }));
      },
      (error: unknown) => {
        const problem = (error as Error).message;
        if (problem !== this.#lastHeartbeatProblem) logger.warn('No answer to heartbeats', { problem });
        this.#lastHeartbeatProblem = problem;
      },
    );
  }

  #end(code: number, reason: string): void {
    if (this.#ended) return;
    this.#ended = true;
    for (const stop of this.#unsubscribe) stop();
    this.#options.onEnd(code, reason);
  }
}
