/** The mesh over the control link: queue groups spread rows and evaluations over the samplers. */
import {
  ChannelMovedSchema,
  decodeMessage,
  encodeMessage,
  EvaluateRequestSchema,
  EvaluateResultSchema,
  FramesAnswerSchema,
  FramesRequestSchema,
  PlayAnswerSchema,
  PlayRequestSchema,
  RowAnswerSchema,
  RowOfferSchema,
  samplerQueue,
  SamplerEventSchema,
  samplerSubjects,
} from '@thaw/shared/protocol';
import type { Logger } from '@thaw/shared/runtime';
import type { ControlLink, Subscription } from '@thaw/shared/transport';
import type { SamplerMesh } from '../ports.js';

export interface ControlMeshOptions {
  /** An offer that is not answered within this time is made again. */
  readonly offerTimeoutMs: number;
  readonly logger: Logger;
  /** Own name: what this sampler announced itself is not heard. */
  readonly name: string;
}

export function controlMesh(link: ControlLink, { offerTimeoutMs, logger, name }: ControlMeshOptions): SamplerMesh {
  const served: Subscription[] = [];
  const heard: Subscription[] = [];
  const queue = { queue: samplerQueue };
  const hear = (subject: string, handler: (bytes: Uint8Array) => void): void => {
    const guarded = (bytes: Uint8Array): void => {
      try {
        handler(bytes);
      } catch (err) {
        logger.warn('A message is not understood', { subject, err });
      }
    };
    heard.push(link.subscribe(subject, guarded));
  };
  return {
    async offer(offer) {
      const answer = await link.request(samplerSubjects.rows, encodeMessage(RowOfferSchema, offer), {
        timeoutMs: offerTimeoutMs,
      });
      return decodeMessage(RowAnswerSchema, answer);
    },
    serveRows(handler) {
      const answer = async (bytes: Uint8Array): Promise<Uint8Array> =>
        encodeMessage(RowAnswerSchema, await handler(decodeMessage(RowOfferSchema, bytes)));
      served.push(link.serve(samplerSubjects.rows, answer, queue));
    },
    async stopServing() {
      for (const subscription of served.splice(0)) subscription.unsubscribe();
      await link.flush().catch(() => undefined); // a broken link serves nothing either
    },
    announce(event) {
      link.publish(samplerSubjects.events, encodeMessage(SamplerEventSchema, event));
    },
    onEvent(handler) {
      hear(samplerSubjects.events, (bytes) => {
        const event = decodeMessage(SamplerEventSchema, bytes);
        if (event.sampler !== name) handler(event);
      });
    },
    onChannelMoved(handler) {
      hear(samplerSubjects.channelMoved, (bytes) => handler(decodeMessage(ChannelMovedSchema, bytes).channel));
    },
    serveEvaluations(handler) {
      const answer = async (bytes: Uint8Array): Promise<Uint8Array> =>
        encodeMessage(EvaluateResultSchema, await handler(decodeMessage(EvaluateRequestSchema, bytes)));
      served.push(link.serve(samplerSubjects.evaluate, answer, queue));
    },
    servePlayground(playground) {
      const start = async (bytes: Uint8Array): Promise<Uint8Array> =>
        encodeMessage(PlayAnswerSchema, await playground.start(decodeMessage(PlayRequestSchema, bytes)));
      const frames = async (bytes: Uint8Array): Promise<Uint8Array> =>
        encodeMessage(FramesAnswerSchema, await playground.frames(decodeMessage(FramesRequestSchema, bytes)));
      served.push(link.serve(samplerSubjects.play, start, queue), link.serve(samplerSubjects.frames, frames, queue));
    },
    announceEvaluation(result) {
      link.publish(samplerSubjects.evaluated, encodeMessage(EvaluateResultSchema, result));
    },
    async close() {
      for (const subscription of [...served.splice(0), ...heard.splice(0)]) subscription.unsubscribe();
      await link.flush().catch(() => undefined);
      await link.close();
    },
  };
}
