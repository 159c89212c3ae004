import { afterEach, expect, it } from 'vitest';
import { Health } from '../health.js';
import { Metrics } from '../metrics.js';
import { VirtualClock } from '../virtual-clock.js';
import { startOperationsServer, type OperationsServer } from './operations-server.js';

const token = 'a-token-of-the-tests';
let server: OperationsServer | undefined;
afterEach(async () => {
  await server?.close();
  server = undefined;
});

async function start(
  given?: string,
): Promise<{ health: Health; get: (path: string, init?: RequestInit) => Promise<Response> }> {
  const health = new Health();
  const metrics = new Metrics({ service: 'trainer', processMetrics: false });
  metrics.counter('steps_total', { help: 'Steps.' }).inc({}, 3);
  const clock = new VirtualClock();
  server = await startOperationsServer({ host: '127.0.0.1', port: 0, token: given, health, metrics, clock });
  const { url } = server;
  return { health, get: (path, init) => fetch(`${url}${path}`, init) };
}
const bearer = (value: string): RequestInit => ({ headers: { authorization: `Bearer ${value}` } });

it('does not open to other machines without a token', async () => {
  const refused = startOperationsServer({
    host: '0.0.0.0',
    port: 0,
    health: new Health(),
    metrics: new Metrics({ service: 'trainer', processMetrics: false }),
    clock: new VirtualClock(),
  });
  await expect(refused).rejects.toMatchObject({ code: 'THAW_BIND_REFUSED' });
});

it('says which port is taken', async () => {
  await start();
  const { hostname, port } = new URL(server!.url);
  const second = startOperationsServer({
    host: hostname,
    port: Number(port),
    health: new Health(),
    metrics: new Metrics({ service: 'trainer', processMetrics: false }),
    clock: new VirtualClock(),
  });
  await expect(second).rejects.toMatchObject({
    code: 'THAW_PORT_UNAVAILABLE',
    message: expect.stringContaining(`${hostname}:${port}`),
  });
});

it('shows metrics to who has the token', async () => {
  const { get } = await start(token);
  for (const init of [{}, bearer('wrong'), bearer(`${token}x`), bearer('')]) {
    const refused = await get('/metrics', init);
    expect(refused.status).toBe(401);
    expect(await refused.text()).not.toContain('thaw_');
  }
  const shown = await get('/metrics', bearer(token));
  expect([shown.status, shown.headers.get('content-type')]).toEqual([200, expect.stringContaining('text/plain')]);
  expect(await shown.text()).toContain('thaw_steps_total{service="trainer"} 3');
});

it('shows them to all of this machine where there is no token', async () => {
  const { get } = await start();
  expect((await get('/metrics')).status).toBe(200);
});

it('tells health to all, with reasons, and 503 when it is bad', async () => {
  const { health, get } = await start(token);
  const ask = async (path: string): Promise<[number, unknown]> => {
    const answer = await get(path);
    expect(answer.headers.get('cache-control')).toBe('no-store');
    return [answer.status, await answer.json()];
  };
  expect(await ask('/healthz')).toEqual([200, { live: true, ready: true, checks: [] }]);
  const waiting = { name: 'model', kind: 'ready', ok: false, reason: 'No model has been loaded yet.' };
  health.register('model', 'ready', () => ({ ok: false, reason: waiting.reason }));
  expect(await ask('/healthz?verbose')).toEqual([200, { live: true, ready: false, checks: [waiting] }]);
  expect((await ask('/readyz'))[0]).toBe(503);
  const stuck = { name: 'steps', kind: 'live', ok: false, reason: 'No step was completed for 60.0 s (limit 30.0 s).' };
  health.register('steps', 'live', () => ({ ok: false, reason: stuck.reason }));
  expect(await ask('/healthz')).toEqual([503, { live: false, ready: false, checks: [waiting, stuck] }]);
  health.remove('steps');
  health.remove('model');
  expect((await ask('/readyz'))[0]).toBe(200);
});

it('serves nothing else, and reads only', async () => {
  const { get } = await start(token);
  for (const path of ['/', '/metrics/', '/metrics/../healthz2', '/healthz/x'])
    expect((await get(path)).status, path).toBe(404);
  expect((await get('/healthz', { method: 'POST', body: 'x' })).status).toBe(405);
  const head = await get('/healthz', { method: 'HEAD' });
  expect([head.status, await head.text()]).toEqual([200, '']);
});
