/** `/v1/jobs/{id}/frames`: the states of a job as they come, numbered; `?after=<sequence>` goes on where another connection stopped. */
import { STATUS_CODES, type IncomingMessage, type Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { ThawError, type JobSpec } from '@thaw/shared/protocol';
import { sleep, type Clock, type Logger } from '@thaw/shared/runtime';
import { WebSocketServer, type WebSocket } from 'ws';
import { frameName, parseJobId, type FrameName } from '../jobs/index.js';
import type { FrameReader, JobService, JobStore } from '../service/index.js';
import { bearerProtocolPrefix, checkHost, checkOrigin, checkToken, type AccessRules } from '@thaw/shared/runtime';
import { toClientError } from './http-server.js';

export interface FramesOptions extends AccessRules {
  readonly service: JobService;
  readonly jobs: JobStore;
  readonly frames: FrameReader;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly maxWatchers: number;
}

export const framesProtocol = 'thaw.frames';

/** What a watcher is sent; images are PNG in base64. */
export type FrameMessage =
  | {
      readonly type: 'frame';
      readonly sequence: number;
      readonly row: number;
      readonly severity: number;
      readonly x: string;
      readonly estimate: string;
    }
  | { readonly type: 'end'; readonly state: string; readonly code?: string; readonly message?: string };

/** A watcher that does not read is not sent more than this ahead. */
const maxBufferedBytes = 1 << 20;
const pollMs = 250;

/** Adds the door to `server`. @returns a function that closes every connection */
export function serveFrames(server: Server, options: FramesOptions): () => void {
  const { logger } = options;
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: 1024,
    handleProtocols: (offered) =>
      offered.has(framesProtocol)
        ? framesProtocol
        : ([...offered].find((name) => !name.startsWith(bearerProtocolPrefix)) ?? false),
  });
  const closing = new AbortController();

  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on('error', () => socket.destroy());
    open(request)
      .then(({ spec, after }) =>
        sockets.handleUpgrade(request, socket, head, (connection) => {
          watch(connection, spec, after).catch((err: unknown) => {
            logger.warn('Frames could not be sent', { job: spec.id, err });
            connection.close(1011, 'THAW_INTERNAL');
          });
        }),
      )
      .catch((error: unknown) => refuse(socket, toClientError(error, logger)));
  });

  /** Everything that can be refused, before the connection becomes a WebSocket. */
  async function open(request: IncomingMessage): Promise<{ spec: JobSpec; after: number }> {
    checkHost(options, request.headers);
    checkOrigin(options, request.headers);
    checkToken(options, request.headers);
    const url = new URL(request.url ?? '/', 'http://localhost');
    const path = /^\/v1\/jobs\/([^/]+)\/frames$/.exec(url.pathname);
    if (path === null)
      throw new ThawError('THAW_ROUTE_NOT_FOUND', `There is no WebSocket at ${url.pathname.slice(0, 200)}.`);
    const after = Number(url.searchParams.get('after') ?? 0);
    if (!Number.isSafeInteger(after) || after < 0)
      throw new ThawError('THAW_JOB_INVALID', 'after: must be a sequence number.');
    if (sockets.clients.size >= options.maxWatchers)
      throw new ThawError('THAW_QUEUE_FULL', `${sockets.clients.size} watchers are connected already.`, {
        details: { retryAfterSeconds: 5 },
      });
    const spec = await options.jobs.mustHave(parseJobId(path[1]!));
    if (spec.framesPerSecond === undefined)
      throw new ThawError('THAW_FRAMES_NOT_KEPT', `The job ${spec.id} keeps no frames.`);
    return { spec, after };
  }

  async function watch(connection: WebSocket, spec: JobSpec, after: number): Promise<void> {
    const { service, clock } = options;
    const gone = new AbortController();
    connection.on('close', () => gone.abort());
    connection.on('error', () => connection.terminate());
    const signal = AbortSignal.any([gone.signal, closing.signal]);
    const send = (message: FrameMessage): void => connection.send(JSON.stringify(message));
    const periodMs = 1000 / spec.framesPerSecond!;
    try {
      for (let sequence = after + 1; !signal.aborted; sequence++) {
        const name = frameName(spec, sequence);
        if (name === undefined) break;
        let message = await frame(spec, name);
        while (message === undefined && !signal.aborted) {
          const { state, code, message: why } = await service.status(spec.id);
          message = await frame(spec, name); // it may have come just before the end
          if (message !== undefined) break;
          if (state !== 'running') {
            send({ type: 'end', state, code, message: why });
            return connection.close(1000);
          }
          await service.changed(spec.id, pollMs);
        }
        if (message === undefined) return;
        while (connection.bufferedAmount > maxBufferedBytes) await sleep(clock, 20, signal);
        send(message);
        if (name.row === spec.count - 1 && name.severity > 0) await sleep(clock, periodMs, signal);
      }
      if (!signal.aborted) send({ type: 'end', state: (await service.status(spec.id)).state });
      connection.close(closing.signal.aborted ? 1001 : 1000);
    } catch (error) {
      if (!signal.aborted) throw error;
      connection.close(1001);
    }
  }

  async function frame(spec: JobSpec, name: FrameName): Promise<FrameMessage | undefined> {
    const found = await options.frames.read(spec, name);
    if (found === undefined) return undefined;
    const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
    return { type: 'frame', ...name, x: base64(found.x), estimate: base64(found.estimate) };
  }

  return () => {
    closing.abort();
    for (const connection of sockets.clients) connection.close(1001);
    sockets.close();
  };
}

function refuse(socket: Duplex, error: ThawError): void {
  const body = JSON.stringify(error.toBody());
  socket.end(
    `HTTP/1.1 ${error.httpStatus} ${STATUS_CODES[error.httpStatus] ?? 'Refused'}\r\ncontent-type: application/json\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  );
}
