/** What all answers of the HTTP door share: headers, coded errors, checked bodies, server-sent events. */
import type { FastifyReply } from 'fastify';
import { parseFields, ThawError, type ErrorCode } from '@thaw/shared/protocol';
import type { Logger } from '@thaw/shared/runtime';
import type { z } from 'zod';

export const securityHeaders = {
  'content-security-policy':
    "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cache-control': 'no-store',
};

/** What fastify says of a request that reached no route, in our codes. */
const frameworkCodes: Readonly<Record<string, ErrorCode>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: 'THAW_BODY_TOO_LARGE',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'THAW_MEDIA_TYPE',
};

/** Sends anything that was thrown as a coded sentence; what was not foreseen stays in the log. */
export function answerError(logger: Logger, error: unknown, reply: FastifyReply): FastifyReply {
  if (error instanceof ThawError) {
    if (error.code === 'THAW_UNAUTHORIZED') void reply.header('www-authenticate', 'Bearer realm="thaw"');
    return reply.code(error.httpStatus).send(error.toBody());
  }
  const { code, statusCode = 500, message } = error as { code?: string; statusCode?: number; message: string };
  if (statusCode < 500) {
    const known = code === undefined ? undefined : frameworkCodes[code];
    return answerError(logger, new ThawError(known ?? 'THAW_REQUEST_INVALID', message.slice(0, 300)), reply);
  }
  logger.error('A request failed', { err: error });
  return answerError(logger, new ThawError('THAW_INTERNAL', 'The request could not be answered.'), reply);
}

/** @throws ThawError THAW_REQUEST_INVALID naming every bad field */
export const parseBody = <S extends z.ZodType>(schema: S, value: unknown): z.output<S> =>
  parseFields(schema, value ?? {}, 'THAW_REQUEST_INVALID', 'body');

export const eventText = (name: string, data: unknown): string => `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
