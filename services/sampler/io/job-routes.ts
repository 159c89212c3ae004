/** The routes of the API: jobs, their images, and two conveniences for curl. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { unitToPixels } from '@thaw/shared/pixels';
import { ThawError, type JobSpec } from '@thaw/shared/protocol';
import { z } from 'zod';
import { contactSheet } from '../evaluation/index.js';
import { JobRequestSchema, JobStatusSchema, parseJobId, parseJobRequest, type JobRequest } from '../jobs/index.js';
import type { ImageCodec, ImageShape } from '../ports.js';
import type { Images, JobService } from '../service/index.js';

export interface JobRouteOptions {
  readonly service: JobService;
  readonly images: ImageCodec;
  /** Longest wait for a result within one request. */
  readonly maxWaitMs: number;
}

const longestPollMs = 30_000;
const sampleSheetScale = 3;
const mostSheetColumns = 64;

const jsonSchema = (schema: z.ZodType, io: 'input' | 'output'): Record<string, unknown> => {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io, unrepresentable: 'any' }) as Record<string, unknown>;
  return rest;
};
const statusAnswer = { description: 'The job', ...jsonSchema(JobStatusSchema, 'output') };
const errorAnswer = {
  description: 'Refused',
  type: 'object',
  properties: { code: { type: 'string' }, message: { type: 'string' }, cure: { type: 'string' } },
};
const pngAnswer = { description: 'A PNG file', type: 'string', format: 'binary' };
const idParams = { type: 'object', properties: { id: { type: 'string' } } };
/** Fields of a job request that may be given in a query, with how they are read. */
const yesNo = (text: string): boolean | string => (text === 'true' ? true : text === 'false' ? false : text);
const queryFields = {
  count: Number,
  seed: Number,
  version: Number,
  severity: Number,
  calls: Number,
  sampleSteps: Number,
  noise: Number,
  deadlineMs: Number,
  channel: String,
  run: String,
  sampler: String,
  degrade: yesNo,
  convert: yesNo,
  freshNoise: yesNo,
} as const;
const queryDescription = {
  type: 'object',
  properties: Object.fromEntries(
    Object.entries(queryFields).map(([name, read]) => [
      name,
      { type: read === Number ? 'number' : read === String ? 'string' : 'boolean' },
    ]),
  ),
};

export function addJobRoutes(app: FastifyInstance, { service, images, maxWaitMs }: JobRouteOptions): void {
  app.addContentTypeParser(
    ['image/png', 'image/jpeg', 'application/octet-stream'],
    { parseAs: 'buffer' },
    (_request, body, done) => done(null, body),
  );

  app.post(
    '/v1/jobs',
    {
      schema: {
        summary: 'Send a job',
        body: jsonSchema(JobRequestSchema, 'input'),
        response: { 202: statusAnswer, '4xx': errorAnswer },
      },
    },
    async (request, reply) => {
      const spec = await service.submit(parseJobRequest(request.body));
      return reply
        .code(202)
        .header('location', `/v1/jobs/${spec.id}`)
        .send(await service.status(spec.id));
    },
  );

  app.get<{ Params: { id: string }; Querystring: { waitMs?: string } }>(
    '/v1/jobs/:id',
    {
      schema: {
        summary: 'How far a job is; with waitMs the answer waits until the job is over, at most so long',
        params: idParams,
        querystring: { type: 'object', properties: { waitMs: { type: 'number' } } },
        response: { 200: statusAnswer, '4xx': errorAnswer },
      },
    },
    async (request) => {
      const id = parseJobId(request.params.id);
      const waitMs = request.query.waitMs === undefined ? 0 : Number(request.query.waitMs);
      if (!(waitMs >= 0)) throw new ThawError('THAW_JOB_INVALID', 'waitMs: must be a number of milliseconds.');
      return service.waitForEnd(id, Math.min(waitMs, longestPollMs));
    },
  );

  app.delete<{ Params: { id: string } }>(
    '/v1/jobs/:id',
    { schema: { summary: 'Cancel a job', params: idParams, response: { 200: statusAnswer, '4xx': errorAnswer } } },
    async (request) => service.cancel(parseJobId(request.params.id)),
  );

  app.get<{ Params: { id: string; file: string }; Querystring: { what?: string } }>(
    '/v1/jobs/:id/images/:file',
    {
      schema: {
        summary: 'An image of a job: <n>.png or <n>.safetensors (all of degraded, direct, sampled, original)',
        params: { type: 'object', properties: { id: { type: 'string' }, file: { type: 'string' } } },
        querystring: {
          type: 'object',
          properties: { what: { type: 'string', enum: ['sampled', 'degraded', 'direct', 'original'] } },
        },
        response: { 200: pngAnswer, '4xx': errorAnswer },
      },
    },
    async (request, reply) => {
      const id = parseJobId(request.params.id);
      const file = /^(\d{1,6})\.(png|safetensors)$/.exec(request.params.file);
      if (file === null) throw new ThawError('THAW_JOB_NOT_FOUND', 'An image is named <n>.png or <n>.safetensors.');
      const row = Number(file[1]);
      if (file[2] === 'safetensors')
        return reply.type('application/octet-stream').send(Buffer.from(await service.resultBytes(id, row)));
      const { images: found, shape } = await service.result(id, row);
      return sendPng(reply, await encode(chosen(found, request.query.what ?? 'sampled'), shape));
    },
  );

  app.post<{ Querystring: Record<string, string> }>(
    '/v1/restore',
    {
      schema: {
        summary: 'Restore the PNG or JPEG that is the body; answers the PNG',
        consumes: ['image/png', 'image/jpeg', 'application/octet-stream'],
        querystring: queryDescription,
        response: { 200: pngAnswer, '4xx': errorAnswer },
      },
    },
    async (request, reply) => {
      if (!Buffer.isBuffer(request.body))
        throw new ThawError(
          'THAW_MEDIA_TYPE',
          'The body must be an image with the content type image/png or image/jpeg, or a safetensors file with application/octet-stream.',
        );
      // The file itself is handed to `submit`; the request only has to say that there is one.
      const asked = parseJobRequest({ ...fromQuery(request.query), mode: 'restore', image: '' });
      const spec = await service.submit(asked, request.body);
      await finish(request, spec);
      const { images: found, shape } = await service.result(spec.id, 0);
      return sendPng(reply.header('x-thaw-job', spec.id), await encode(found.sampled!, shape));
    },
  );

  app.get<{ Querystring: Record<string, string> }>(
    '/v1/sample.png',
    {
      schema: {
        summary: 'Degrade and restore test images; one PNG with the rows original, degraded, direct, sampled',
        querystring: queryDescription,
        response: { 200: pngAnswer, '4xx': errorAnswer },
      },
    },
    async (request, reply) => {
      const asked: JobRequest = parseJobRequest({ ...fromQuery(request.query), mode: 'sample' });
      if (asked.count > mostSheetColumns)
        throw new ThawError('THAW_JOB_INVALID', `count: at most ${mostSheetColumns} images fit on one sheet.`);
      const spec = await service.submit(asked);
      await finish(request, spec);
      const results = await Promise.all(Array.from({ length: spec.count }, (_, row) => service.result(spec.id, row)));
      const rows = (['original', 'degraded', 'direct', 'sampled'] as const).map((what) =>
        results.map((result) => result.images[what]!),
      );
      return sendPng(
        reply.header('x-thaw-job', spec.id),
        await images.encodePng(contactSheet(rows, results[0]!.shape), sampleSheetScale),
      );
    },
  );

  const encode = (image: Float32Array, shape: ImageShape): Promise<Uint8Array> =>
    images.encodePng({ ...shape, bytes: unitToPixels(image) });

  /** Waits for a job within its request; a client that hangs up cancels it. */
  async function finish(request: FastifyRequest, spec: JobSpec): Promise<void> {
    const cancel = (): void => void service.cancel(spec.id).catch(() => undefined);
    request.raw.socket.once('close', cancel);
    try {
      const status = await service.waitForEnd(spec.id, maxWaitMs);
      if (status.state !== 'running') return;
      throw new ThawError(
        'THAW_JOB_NOT_READY',
        `The job ${spec.id} is not finished after ${maxWaitMs} ms; it goes on.`,
        {
          cure: `Fetch /v1/jobs/${spec.id}.`,
          details: { job: spec.id, retryAfterSeconds: 1 },
        },
      );
    } finally {
      request.raw.socket.off('close', cancel);
    }
  }
}

/** @throws ThawError THAW_JOB_INVALID for a query field that does not exist */
function fromQuery(query: Readonly<Record<string, string>>): Record<string, unknown> {
  const fields: Record<string, unknown> = {};
  for (const [name, text] of Object.entries(query)) {
    if (!Object.hasOwn(queryFields, name))
      throw new ThawError('THAW_JOB_INVALID', `${name.slice(0, 50)}: there is no such option.`);
    if (typeof text !== 'string') throw new ThawError('THAW_JOB_INVALID', `${name}: was given more than once.`);
    fields[name] = queryFields[name as keyof typeof queryFields](text);
  }
  return fields;
}

/** @throws ThawError THAW_JOB_INVALID when the job has no such image */
function chosen(images: Images, what: string): Float32Array {
  const image = Object.hasOwn(images, what) ? images[what] : undefined;
  if (image === undefined)
    throw new ThawError(
      'THAW_JOB_INVALID',
      `what: the result has ${Object.keys(images).join(', ')}, not "${what.slice(0, 50)}".`,
    );
  return image;
}

const sendPng = (reply: FastifyReply, png: Uint8Array): FastifyReply =>
  reply.type('image/png').header('cache-control', 'private, no-store').send(Buffer.from(png));
