/** `/v1/playground`: starts a job on some sampler and streams its frames (server-sent events) as they come. */
import type { FastifyInstance } from 'fastify';
import {
  channelNames,
  JobIdSchema,
  SamplingAlgorithmSchema,
  ThawError,
  type FramesAnswer,
  type PlayAnswer,
} from '@thaw/shared/protocol';
import type { Logger } from '@thaw/shared/runtime';
import { z } from 'zod';
import { eventText, parseBody, securityHeaders } from './answers.js';
import type { Playground } from './playground.js';

export interface PlaygroundRouteOptions {
  readonly playground: Playground;
  readonly logger: Logger;
  /** Pages that may follow frames at once. */
  readonly maxPlaying?: number;
}

const StartSchema = z.strictObject({
  seed: z
    .int()
    .min(0)
    .max(2 ** 32 - 1)
    .default(0),
  /** PNG or JPEG in base64; a held-out test image, chosen by the seed, unless given. */
  image: z.base64().min(1).max(700_000, 'must be at most 512 KiB').optional(),
  /** The image may be greyscale where the model takes colour, and the reverse. */
  convert: z.boolean().optional(),
  sampler: SamplingAlgorithmSchema.default('algorithm2'),
  channel: z.enum(channelNames).optional(),
});
const bodyLimit = 1 << 20;
const defaultMaxPlaying = 50;
/** How long one question for frames may wait at the sampler. */
const waitMs = 5000;
/** A page that does not read is not sent more than this ahead. */
const maxBufferedBytes = 1 << 20;

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');

export function addPlaygroundRoutes(app: FastifyInstance, options: PlaygroundRouteOptions): void {
  const { playground, logger, maxPlaying = defaultMaxPlaying } = options;
  let playing = 0;

  app.post('/v1/playground', { bodyLimit }, async (request, reply): Promise<PlayAnswer> => {
    const { image, ...asked } = parseBody(StartSchema, request.body);
    const answer = await playground.start({
      ...asked,
      ...(image === undefined ? {} : { image: new Uint8Array(Buffer.from(image, 'base64')) }),
    });
    void reply.code(202);
    return answer;
  });

  // Without HEAD: its answer would not end before the job.
  app.get('/v1/playground/:job/frames', { exposeHeadRoute: false }, async (request, reply) => {
    const job = JobIdSchema.safeParse((request.params as { job: string }).job);
    if (!job.success) throw new ThawError('THAW_JOB_NOT_FOUND', 'There is no such job.');
    // A browser that connects again says what it has seen.
    const seen = Number(request.headers['last-event-id'] ?? 0);
    let after = Number.isSafeInteger(seen) && seen > 0 ? seen : 0;
    if (playing >= maxPlaying)
      throw new ThawError('THAW_TOO_MANY_WATCHERS', `${maxPlaying} pages follow frames already.`);
    playing++;
    try {
      // Whatever refuses the first question is still an ordinary answer.
      let answer = await playground.frames({ job: job.data, after, waitMs: 0 });
      reply.hijack();
      const { raw } = reply;
      raw.writeHead(200, { ...securityHeaders, 'content-type': 'text/event-stream' });
      for (;;) {
        for (const frame of answer.frames) {
          after = frame.sequence;
          raw.write(`id: ${after}\n${frameEvent(frame)}`);
        }
        if (answer.end !== undefined) {
          const { original, ...end } = answer.end;
          raw.write(eventText('end', { ...end, ...(original === undefined ? {} : { original: base64(original) }) }));
          break;
        }
        if (raw.destroyed || raw.writableLength > maxBufferedBytes) break;
        answer = await playground.frames({ job: job.data, after, waitMs });
      }
      raw.end();
    } catch (error) {
      if (!reply.raw.headersSent) throw error;
      logger.warn('Frames could not be followed to their end', { job: job.data, err: error });
      const body = (
        error instanceof ThawError ? error : new ThawError('THAW_INTERNAL', 'The frames broke off.')
      ).toBody();
      reply.raw.end(eventText('refused', body));
    } finally {
      playing--;
    }
  });
}

const frameEvent = ({ x, estimate, ...frame }: FramesAnswer['frames'][number]): string =>
  eventText('frame', { ...frame, x: base64(x), estimate: base64(estimate) });
