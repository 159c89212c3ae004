/** The small HTTP listener of every process: `/healthz`, `/readyz`, `/metrics`. Health is open; metrics want the token, if there is one. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { timingSafeEqual } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import type { Clock } from '../clock.js';
import type { Health } from '../health.js';
import { assertBindAllowed, cannotListen } from '../listen-guard.js';
import type { Metrics } from '../metrics.js';

export interface OperationsServerOptions {
  readonly host: string;
  /** 0: the system chooses. */
  readonly port: number;
  readonly token?: string | undefined;
  readonly health: Health;
  readonly metrics: Metrics;
  readonly clock: Clock;
}

export interface OperationsServer {
  readonly url: string;
  close(): Promise<void>;
}

const carries = (request: IncomingMessage, token: string): boolean => {
  const given = Buffer.from(request.headers.authorization ?? '');
  const wanted = Buffer.from(`Bearer ${token}`);
  return given.length === wanted.length && timingSafeEqual(given, wanted);
};

/** @throws ThawError THAW_BIND_REFUSED for a host that is not loopback without a token; THAW_PORT_UNAVAILABLE */
export async function startOperationsServer(options: OperationsServerOptions): Promise<OperationsServer> {
  const { host, port, token, health, metrics, clock } = options;
  assertBindAllowed({ host, hasCredential: token !== undefined, what: 'the health and metrics listener' });
  const answer = (response: ServerResponse, status: number, type: string, body: string): void => {
    response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' });
    response.end(body);
  };
  const server = createServer((request, response) => {
    const path = (request.url ?? '/').split('?')[0];
    if (request.method !== 'GET' && request.method !== 'HEAD')
      return answer(response, 405, 'text/plain', 'Only GET is served.\n');
    if (path === '/healthz' || path === '/readyz') {
      const report = health.report(clock.nowMs());
      const ok = path === '/healthz' ? report.live : report.ready;
      return answer(response, ok ? 200 : 503, 'application/json', JSON.stringify(report));
    }
    if (path !== '/metrics') return answer(response, 404, 'text/plain', 'Served here: /healthz, /readyz, /metrics.\n');
    if (token !== undefined && !carries(request, token))
      return answer(response, 401, 'text/plain', 'A bearer token is needed.\n');
    metrics.render().then(
      (text) => answer(response, 200, metrics.contentType, text),
      () => answer(response, 500, 'text/plain', 'The metrics could not be rendered.\n'),
    );
  });
  server.headersTimeout = 5000;
  server.requestTimeout = 10_000;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  }).catch(cannotListen(host, port));
  const { port: bound } = server.address() as AddressInfo;
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${bound}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
