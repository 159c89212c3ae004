/** `/metrics` on a port of its own. */
import { createServer } from 'node:http';
import { assertBindAllowed, type Metrics } from '@thaw/shared/runtime';
import { asThawError } from '../work/index.js';
import { checkHost, checkToken, type AccessRules } from './http-access.js';

/** @returns the URL and a function that closes the listener */
export async function serveMetrics(metrics: Metrics, options: AccessRules & { port: number }): Promise<{ url: string; close(): Promise<void> }> {
  assertBindAllowed({ host: options.host, hasCredential: options.token !== undefined, what: "The sampler's metrics" });
  const server = createServer((request, response) => {
    void (async () => {
      try {
        checkHost(options, request.headers);
        checkToken(options, request.headers);
        if (request.method !== 'GET' || request.url !== '/metrics') return void response.writeHead(404).end();
        response.writeHead(200, { 'content-type': metrics.contentType }).end(await metrics.render());
      } catch (error) {
        const { httpStatus, code, message, cure } = asThawError(error);
        response.writeHead(httpStatus, { 'content-type': 'application/json' }).end(JSON.stringify({ code, message, cure }));
      }
    })();
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, options.host, resolve);
  });
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : options.port;
  return {
    url: `http://${options.host}:${port}/metrics`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
