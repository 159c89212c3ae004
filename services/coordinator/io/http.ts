/** The coordinator's HTTP door: the page, status, events, checkpoints, channels. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { AddressInfo } from 'node:net';
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { channelNames, ThawError } from '@thaw/shared/protocol';
import {
  assertBindAllowed,
  cannotListen,
  checkHost,
  checkOrigin,
  checkToken,
  tokenCookieHeader,
  type AccessRules,
  type Clock,
  type Health,
  type Logger,
} from '@thaw/shared/runtime';
import { promote, rollback, type ObjectStore, type RecordSigner } from '@thaw/shared/storage';
import { z } from 'zod';
import type { Status, StepPoint } from '../views/status.js';
import { thinPoints } from '../views/thin-points.js';
import { answerError, eventText, parseBody, securityHeaders } from './answers.js';
import { evaluationPicture } from './checkpoints.js';
import type { Playground } from './playground.js';
import { addPlaygroundRoutes } from './playground-routes.js';

export interface HttpOptions extends AccessRules {
  readonly port: number;
  readonly run: string;
  readonly store: ObjectStore;
  readonly clock: Clock;
  readonly health: Health;
  readonly logger: Logger;
  readonly signer?: RecordSigner | undefined;
  readonly playground: Playground;
  readonly maxPlaying?: number;
  /** Folder of the page's files. */
  readonly pageDir: string;
  readonly status: () => Status;
  readonly points: () => readonly StepPoint[];
  /** Pages that may follow the events at once. */
  readonly maxWatchers?: number;
  /** A channel was moved through this door. */
  readonly onMoved: (channel: string) => void;
}

export interface HttpDoor {
  readonly url: string;
  /** Sends new points and the present status to every watcher. */
  broadcast(points: readonly StepPoint[]): void;
  close(): Promise<void>;
}

const pageFiles: Readonly<Record<string, string>> = {
  'page.css': 'text/css',
  'page.js': 'text/javascript',
  'chart.js': 'text/javascript',
  'playground.js': 'text/javascript',
};
const defaultMaxWatchers = 200;
/** A page that is opened late gets the curve in about so many points; `/v1/steps` has all. */
const firstPoints = 2000;
const PromoteSchema = z.strictObject({
  step: z.int().min(0),
  actor: z.string().min(1).max(200).default('http'),
  reason: z.string().max(2000).optional(),
});
const RollbackSchema = z.strictObject({
  actor: z.string().min(1).max(200).default('http'),
  reason: z.string().max(2000).optional(),
});

/** @throws ThawError THAW_BIND_REFUSED, THAW_PORT_UNAVAILABLE */
export async function openHttpDoor(options: HttpOptions): Promise<HttpDoor> {
  assertBindAllowed({
    host: options.host,
    hasCredential: options.token !== undefined,
    what: "the coordinator's HTTP listener",
  });
  const app = Fastify({
    logger: false,
    bodyLimit: 64 << 10,
    requestTimeout: 30_000,
    forceCloseConnections: true,
    routerOptions: { maxParamLength: 200 },
    // A URL that cannot be decoded never reaches a route or a hook.
    frameworkErrors: (error, _request, reply) =>
      void answerError(options.logger, error, reply.headers(securityHeaders) as FastifyReply),
    // Nor does what is not HTTP.
    clientErrorHandler(_error, socket) {
      const body = JSON.stringify(new ThawError('THAW_REQUEST_INVALID', 'This is not an HTTP request.').toBody());
      if (socket.writable)
        socket.write(
          `HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
        );
      socket.destroy();
    },
  });
  const watchers = new Set<FastifyReply>();
  app.addHook('onRequest', async (request) => admit(options, request));
  app.setErrorHandler((error, _request, reply) => void answerError(options.logger, error, reply));
  app.setNotFoundHandler(
    (request, reply) =>
      void answerError(
        options.logger,
        new ThawError(
          'THAW_NOT_FOUND',
          `There is nothing at ${request.method} ${request.url.split('?')[0]!.slice(0, 200)}.`,
        ),
        reply,
      ),
  );
  app.addHook('onSend', async (_request, reply) => void reply.headers(securityHeaders));
  routes(app, options, watchers);
  addPlaygroundRoutes(app, options);
  await app.listen({ host: options.host, port: options.port }).catch(cannotListen(options.host, options.port));
  const address = app.server.address() as AddressInfo;
  return {
    url: `http://${address.address.includes(':') ? `[${address.address}]` : address.address}:${address.port}`,
    broadcast(points) {
      if (watchers.size === 0) return;
      const text = (points.length > 0 ? eventText('steps', points) : '') + eventText('status', options.status());
      for (const watcher of watchers) {
        // A watcher that does not read is dropped; it connects again by itself.
        if (watcher.raw.writableLength > 1 << 20) watcher.raw.destroy();
        else watcher.raw.write(text);
      }
    },
    async close() {
      for (const watcher of watchers) watcher.raw.end();
      await app.close();
    },
  };
}

const isHealth = (path: string): boolean => path === '/healthz' || path === '/readyz';

function admit(options: HttpOptions, request: FastifyRequest): void {
  const path = request.url.split('?')[0]!;
  if (isHealth(path)) return;
  checkHost(options, request.headers);
  if (request.method !== 'GET' && request.method !== 'HEAD') checkOrigin(options, request.headers);
  // The first visit hands the token in once; see the route of the page.
  if (path === '/' && typeof (request.query as { token?: unknown }).token === 'string') return;
  checkToken(options, request.headers);
}

function channelOf(request: FastifyRequest): string {
  const { name } = request.params as { name: string };
  if ((channelNames as readonly string[]).includes(name)) return name;
  throw new ThawError('THAW_CHANNEL_UNKNOWN', `There is no channel ${JSON.stringify(name.slice(0, 100))}.`);
}

function routes(app: FastifyInstance, options: HttpOptions, watchers: Set<FastifyReply>): void {
  const { store, run, clock, health, pageDir, maxWatchers = defaultMaxWatchers } = options;
  for (const path of ['/healthz', '/readyz'])
    app.get(path, async (_request, reply) => {
      const report = health.report(clock.nowMs());
      return reply.code((path === '/healthz' ? report.live : report.ready) ? 200 : 503).send(report);
    });
  app.get('/', async (request, reply) => {
    const { token } = request.query as { token?: string };
    if (token === undefined) return reply.type('text/html').send(await readFile(join(pageDir, 'index.html')));
    checkToken(options, { authorization: `Bearer ${token}` });
    return reply.header('set-cookie', tokenCookieHeader(token)).redirect('/', 303);
  });
  app.get('/page/:file', async (request, reply) => {
    const { file } = request.params as { file: string };
    const type = Object.hasOwn(pageFiles, file) ? pageFiles[file] : undefined;
    if (type === undefined) throw new ThawError('THAW_NOT_FOUND', 'The page has no such file.');
    return reply.type(type).send(await readFile(join(pageDir, file)));
  });
  app.get('/v1/status', async () => options.status());
  app.get('/v1/steps', async () => options.points());
  // Without HEAD: its answer would never end.
  app.get('/v1/events', { exposeHeadRoute: false }, (_request, reply) => {
    if (watchers.size >= maxWatchers)
      throw new ThawError('THAW_TOO_MANY_WATCHERS', `${maxWatchers} watchers are connected already.`);
    reply.hijack();
    reply.raw.writeHead(200, { ...securityHeaders, 'content-type': 'text/event-stream' });
    reply.raw.write(
      eventText('steps', thinPoints(options.points(), firstPoints)) + eventText('status', options.status()),
    );
    watchers.add(reply);
    reply.raw.on('close', () => watchers.delete(reply));
  });
  app.get('/v1/evaluations/:file', async (request, reply) => {
    const match = /^(\d{1,10})\.png$/.exec((request.params as { file: string }).file);
    const found = match === null ? undefined : await store.get(evaluationPicture(run, Number(match[1])));
    if (found === undefined) throw new ThawError('THAW_NOT_FOUND', 'There is no evaluation of that step.');
    return reply.type('image/png').send(Buffer.from(found.bytes));
  });
  const signing = options.signer === undefined ? {} : { signer: options.signer };
  const moved = (channel: string, { record, sha256 }: Awaited<ReturnType<typeof promote>>) => {
    options.logger.info('Channel moved', {
      channel,
      seq: record.seq,
      step: record.step,
      action: record.action,
      sha256,
    });
    options.onMoved(channel);
    return { channel, action: record.action, step: record.step, run: record.run, seq: record.seq, sha256 };
  };
  app.post('/v1/channels/:name/promote', async (request) => {
    const channel = channelOf(request);
    const { step, actor, reason } = parseBody(PromoteSchema, request.body);
    return moved(
      channel,
      await promote(
        store,
        channel,
        { run, step },
        { actor, timeMs: clock.wallTimeMs(), ...(reason === undefined ? {} : { reason }) },
        signing,
      ),
    );
  });
  app.post('/v1/channels/:name/rollback', async (request) => {
    const channel = channelOf(request);
    const { actor, reason } = parseBody(RollbackSchema, request.body);
    return moved(
      channel,
      await rollback(
        store,
        channel,
        { actor, timeMs: clock.wallTimeMs(), ...(reason === undefined ? {} : { reason }) },
        signing,
      ),
    );
  });
}
