/** The HTTP door: fastify, access rules, coded errors, OpenAPI. Routes are in `job-routes.ts`. */
import fastifySwagger from '@fastify/swagger';
import fastify, { type FastifyInstance, type FastifyReply } from 'fastify';
import { errorRegistry, ThawError, type ErrorCode } from '@thaw/shared/protocol';
import { assertBindAllowed, cannotListen, type Clock, type Health, type Logger } from '@thaw/shared/runtime';
import { checkHost, checkOrigin, checkToken, type AccessRules } from '@thaw/shared/runtime';

export interface HttpOptions extends AccessRules {
  readonly maxBodyBytes: number;
  readonly health: Health;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Counts answers, for metrics. */
  readonly onAnswer?: (route: string, status: number) => void;
}

const healthPaths = new Set(['/healthz', '/readyz']);
const harmless = new Set(['GET', 'HEAD', 'OPTIONS']);

/** What fastify says of a request that never reached a route, in our codes. */
const frameworkCodes: Readonly<Record<string, ErrorCode>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: 'THAW_BODY_TOO_LARGE',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'THAW_MEDIA_TYPE',
  FST_ERR_ROUTE_MISSING_CONTENT_TYPE: 'THAW_MEDIA_TYPE',
};

/** Anything thrown, as an answer without inner details: a stack or an unforeseen message stays in the log. */
export function toClientError(error: unknown, logger: Logger): ThawError {
  if (error instanceof ThawError) {
    if (error.httpStatus >= 500) logger.error('A request failed', { code: error.code, err: error });
    return error;
  }
  const { code, statusCode, message } = error as { code?: string; statusCode?: number; message?: string };
  const known = code === undefined ? undefined : frameworkCodes[code];
  if (known !== undefined) return new ThawError(known, message ?? errorRegistry[known].meaning);
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500)
    return new ThawError(
      'THAW_JOB_INVALID',
      `The request could not be read: ${(message ?? 'malformed').slice(0, 300)}`,
    );
  logger.error('A request failed unexpectedly', { err: error });
  return new ThawError('THAW_INTERNAL', 'Something failed that should not have.');
}

export function sendError(reply: FastifyReply, error: ThawError): FastifyReply {
  const retryAfter = error.details?.retryAfterSeconds;
  if (typeof retryAfter === 'number') void reply.header('retry-after', String(retryAfter));
  if (error.code === 'THAW_UNAUTHORIZED') void reply.header('www-authenticate', 'Bearer realm="thaw"');
  return reply.code(error.httpStatus).type('application/json').send(JSON.stringify(error.toBody()));
}

/** The server, not listening yet, with health and OpenAPI; add routes, then `listen`. */
export async function createHttpServer(options: HttpOptions): Promise<FastifyInstance> {
  const { health, clock, logger } = options;
  const app = fastify({
    bodyLimit: options.maxBodyBytes,
    forceCloseConnections: true,
    requestTimeout: 60_000,
    routerOptions: { maxParamLength: 200 },
    frameworkErrors: (error, _request, reply) => void sendError(reply, toClientError(error, logger)),
    clientErrorHandler(error, socket) {
      const body = JSON.stringify(
        toClientError({ statusCode: 400, message: (error as { code?: string }).code }, logger).toBody(),
      );
      if (socket.writable)
        socket.write(
          `HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
        );
      socket.destroy();
    },
  });
  // Bodies are checked by the zod schemas of jobs/; the JSON schemas of routes only describe.
  app.setValidatorCompiler(() => (value) => ({ value }));
  app.setSerializerCompiler(() => (value) => JSON.stringify(value));
  app.setErrorHandler((error, _request, reply) => sendError(reply, toClientError(error, logger)));
  app.setNotFoundHandler((request, reply) =>
    sendError(
      reply,
      new ThawError('THAW_ROUTE_NOT_FOUND', `There is nothing at ${request.method} ${request.url.slice(0, 200)}.`),
    ),
  );
  app.addHook('onRequest', async (request) => {
    if (healthPaths.has(request.url)) return;
    checkHost(options, request.headers);
    checkToken(options, request.headers);
    if (!harmless.has(request.method)) checkOrigin(options, request.headers);
  });
  app.addHook('onResponse', async (request, reply) =>
    options.onAnswer?.(request.routeOptions.url ?? 'none', reply.statusCode),
  );
  await app.register(fastifySwagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Thaw sampler',
        version: '1',
        description: 'Restores and samples images with a Cold Diffusion model.',
      },
      components: { securitySchemes: { bearer: { type: 'http', scheme: 'bearer' } } },
      security: [{ bearer: [] }],
    },
  });
  for (const [url, kind, summary] of [
    ['/healthz', 'live', 'Whether the process works'],
    ['/readyz', 'ready', 'Whether jobs are taken, and why not'],
  ] as const)
    app.get(url, { schema: { summary, security: [] } }, async (_request, reply) => {
      const report = health.report(clock.nowMs());
      return reply.code(report[kind] ? 200 : 503).send(report);
    });
  app.get('/openapi.json', { schema: { hide: true } }, async () => app.swagger());
  return app;
}

/** Binds; refuses to be reachable from outside without a token. @returns the base URL */
export async function listen(app: FastifyInstance, options: AccessRules & { port: number }): Promise<string> {
  assertBindAllowed({ host: options.host, hasCredential: options.token !== undefined, what: "The sampler's HTTP API" });
  await app.listen({ host: options.host, port: options.port }).catch(cannotListen(options.host, options.port));
  const address = app.server.address();
  const port = typeof address === 'object' && address !== null ? address.port : options.port;
  const host = options.host.includes(':')
    ? `[${options.host}]`
    : options.host === '0.0.0.0'
      ? '127.0.0.1'
      : options.host;
  return `http://${host}:${port}`;
}
