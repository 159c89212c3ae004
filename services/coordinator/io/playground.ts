/** The playground of the page: the coordinator asks the samplers over the broker, so the page needs no other address. */
import {
  decodeMessage,
  encodeMessage,
  FramesAnswerSchema,
  FramesRequestSchema,
  PlayAnswerSchema,
  PlayRequestSchema,
  samplerSubjects,
  ThawError,
  type FramesAnswer,
  type FramesRequest,
  type PlayAnswer,
  type PlayRequest,
} from '@thaw/shared/protocol';
import type { ControlLink } from '@thaw/shared/transport';

export interface Playground {
  start(request: PlayRequest): Promise<PlayAnswer>;
  frames(request: FramesRequest): Promise<FramesAnswer>;
}

/** Loading weights for a first job is included. */
const answerTimeoutMs = 20_000;

/** @throws ThawError THAW_SERVICE_UNREACHABLE when no sampler answers; else what the sampler refuses with */
export function samplerPlayground(control: ControlLink): Playground {
  const ask = async (subject: string, body: Uint8Array): Promise<Uint8Array> => {
    try {
      return await control.request(subject, body, { timeoutMs: answerTimeoutMs });
    } catch (cause) {
      if (!(cause instanceof ThawError) || !cause.code.startsWith('THAW_TRANSPORT_')) throw cause;
      throw new ThawError('THAW_SERVICE_UNREACHABLE', 'No sampler answers.', {
        cure: 'Start a sampler, or wait until one is ready.',
        cause,
      });
    }
  };
  return {
    async start(request) {
      return decodeMessage(
        PlayAnswerSchema,
        await ask(samplerSubjects.play, encodeMessage(PlayRequestSchema, request)),
      );
    },
    async frames(request) {
      const body = encodeMessage(FramesRequestSchema, request);
      return decodeMessage(FramesAnswerSchema, await ask(samplerSubjects.frames, body));
    },
  };
}
