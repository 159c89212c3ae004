import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { connect } from 'node:net';
import { fileURLToPath } from 'node:url';
import { errorRegistry, ThawError, type PlayRequest } from '@thaw/shared/protocol';
import { Health, silentLogger, VirtualClock } from '@thaw/shared/runtime';
import { MemoryStore, readLog, writeCheckpoint, type RunState } from '@thaw/shared/storage';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { RunView } from '../views/run-view.js';
import type { Status, StepPoint } from '../views/status.js';
import { evaluationPicture } from './checkpoints.js';
import type { Playground } from './playground.js';
import { openHttpDoor, type HttpDoor, type HttpOptions } from './http.js';

const token = 'cGFzc3dvcmQ+Lz8=='; // base64 with its signs, as an operator may choose it
const points: StepPoint[] = [
  { step: 0, loss: 0.5, imagesPerSecond: null },
  { step: 1, loss: 0.25, imagesPerSecond: 40 },
];

const state = (step: number): RunState => ({
  step,
  epoch: 0,
  stepOfEpoch: step,
  beta1Product: 0.9,
  beta2Product: 0.99,
  historyDigest: 'ab'.repeat(32),
  skippedInARow: 0,
  tensors: Object.fromEntries(
    ['weights', 'ema', 'adam.m', 'adam.v']
      .map((group): [string, RunState['tensors'][string]] => [
        `${group}/w`,
        { dtype: 'F32', shape: [4], data: new Float32Array(4).fill(step) },
      ])
      .concat([['exponents/w', { dtype: 'I8', shape: [1], data: new Int8Array(1) }]]),
  ),
});

let store: MemoryStore;
let health: Health;
let door: HttpDoor;
let moved: string[];
let asked: PlayRequest[];
const doors: HttpDoor[] = [];
const view = new RunView({ run: 'trial', steps: 100, laneCount: 4, globalBatch: 8, stepsPerEpoch: 20 }, points);
const status = (): Status => view.status([], 0);

const job = 'a'.repeat(32);
/** A sampler with one job of four frames; two are ready at once, two when asked again. */
const playground: Playground = {
  async start(request) {
    asked.push(request);
    if (request.image?.[0] === 0) throw new ThawError('THAW_IMAGE_INVALID', 'The file is neither PNG nor JPEG.');
    return { job, version: { run: 'trial', step: 10, manifestSha256: 'b'.repeat(64) }, severities: [3, 2, 1, 0] };
  },
  async frames({ job: wanted, after }) {
    if (wanted !== job) throw new ThawError('THAW_JOB_NOT_FOUND', 'There is no such job.');
    const frames = [1, 2, 3, 4].slice(after, after + 2).map((sequence) => ({
      sequence,
      severity: 4 - sequence,
      x: Uint8Array.of(sequence),
      estimate: Uint8Array.of(9),
    }));
    return after >= 2 ? { frames, end: { state: 'done', original: Uint8Array.of(7) } } : { frames };
  },
};

const open = async (changes: Partial<HttpOptions> = {}): Promise<HttpDoor> => {
  const opened = await openHttpDoor({
    host: '127.0.0.1',
    port: 0,
    token,
    allowedHosts: ['thaw.example.org'],
    allowedOrigins: ['https://console.example.org'],
    run: 'trial',
    store,
    clock: new VirtualClock(),
    health,
    logger: silentLogger,
    pageDir: fileURLToPath(new URL('../page', import.meta.url)),
    playground,
    status,
    points: () => points,
    onMoved: (channel) => moved.push(channel),
    ...changes,
  });
  doors.push(opened);
  return opened;
};

beforeEach(async () => {
  store = new MemoryStore();
  health = new Health();
  moved = [];
  asked = [];
  for (const step of [10, 20])
    await writeCheckpoint(
      store,
      {
        run: 'trial',
        parent: null,
        configSha256: 'c'.repeat(64),
        dataset: { name: 'digits', sha256: 'd'.repeat(64) },
        fingerprint: 'test',
        createdMs: 1,
      },
      state(step),
      1,
    );
  door = await open();
});
afterEach(async () => {
  for (const opened of doors.splice(0)) await opened.close();
});

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

/** A request as raw as a stranger can make it: any path, any Host. */
function call(
  path: string,
  options: { method?: string; headers?: Record<string, string>; body?: string; to?: HttpDoor } = {},
): Promise<Answer> {
  const { port } = new URL((options.to ?? door).url);
  const headers = { authorization: `Bearer ${token}`, ...options.headers };
  return new Promise((resolve, reject) => {
    const request = httpRequest(
      { host: '127.0.0.1', port, path, method: options.method ?? 'GET', headers },
      (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (part: string) => (text += part));
        response.on('end', () => resolve({ status: response.statusCode!, headers: response.headers, text }));
      },
    );
    request.on('error', reject);
    request.end(options.body);
  });
}
const post = (path: string, body: unknown, headers: Record<string, string> = {}): Promise<Answer> =>
  call(path, {
    method: 'POST',
    body: typeof body === 'string' ? body : JSON.stringify(body),
    headers: { 'content-type': 'application/json', ...headers },
  });

/** A coded sentence as JSON, with nothing of the inside, and the process answers afterwards. */
async function expectRefusal(answer: Answer, httpStatus: number, code: string): Promise<void> {
  expect([answer.status, answer.text]).toEqual([httpStatus, expect.stringContaining(code)]);
  expect(answer.headers['content-type']).toMatch(/^application\/json/);
  expect(JSON.parse(answer.text)).toMatchObject({ code, message: expect.any(String), cure: expect.any(String) });
  expect(Object.keys(errorRegistry)).toContain(code);
  expect(answer.text).not.toMatch(/node_modules|\.ts:|\.js:|at Object/);
  expect((await call('/healthz', { headers: { authorization: '' } })).status).toBe(200);
}

describe('the token', () => {
  test.each([
    ['GET', '/'],
    ['GET', '/page/page.js'],
    ['GET', '/v1/status'],
    ['GET', '/v1/steps'],
    ['GET', '/v1/events'],
    ['GET', '/v1/evaluations/10.png'],
    ['POST', '/v1/channels/stable/promote'],
    ['POST', '/v1/channels/stable/rollback'],
    ['POST', '/v1/playground'],
    ['GET', `/v1/playground/${'a'.repeat(32)}/frames`],
    ['GET', '/nothing/here'],
  ])('is wanted at %s %s', async (method, path) => {
    const strangers: Record<string, string>[] = [
      { authorization: '' },
      { authorization: `Bearer ${token}x` },
      { authorization: `Basic ${token}` },
      { authorization: '', cookie: 'thaw_token=guess' },
      { authorization: '', cookie: 'thaw_token=%E0%A4%A' },
    ];
    for (const headers of strangers) {
      const answer = await call(path, { method, headers });
      await expectRefusal(answer, 401, 'THAW_UNAUTHORIZED');
      expect(answer.headers['www-authenticate']).toContain('Bearer');
    }
  });

  test('is handed in once by the address, which then no longer carries it', async () => {
    const first = await call(`/?token=${encodeURIComponent(token)}`, { headers: { authorization: '' } });
    expect([first.status, first.headers.location]).toEqual([303, '/']);
    const [cookie] = first.headers['set-cookie']!;
    expect(cookie).toMatch(/^thaw_token=[^;]+; HttpOnly; SameSite=Strict; Path=\/$/);
    const headers = { authorization: '', cookie: `other=1; ${cookie!.split(';')[0]}` };
    const page = await call('/', { headers });
    expect([page.status, page.headers['content-type']]).toEqual([200, expect.stringContaining('text/html')]);
    expect(page.text).toContain('<title>Thaw</title>');
    expect((await call('/v1/status', { headers })).status).toBe(200);
  });

  test('is refused there when it is not the right one, and sets nothing', async () => {
    for (const path of ['/?token=wrong', '/?token=', '/?token=a&token=b']) {
      const answer = await call(path, { headers: { authorization: '' } });
      await expectRefusal(answer, 401, 'THAW_UNAUTHORIZED');
      expect(answer.headers['set-cookie']).toBeUndefined();
    }
    await expectRefusal(
      await call(`/v1/status?token=${encodeURIComponent(token)}`, { headers: { authorization: '' } }),
      401,
      'THAW_UNAUTHORIZED',
    );
  });

  test('must exist before the door opens to other machines', async () => {
    await expect(open({ host: '0.0.0.0', token: undefined as never })).rejects.toMatchObject({
      code: 'THAW_BIND_REFUSED',
    });
  });
});

test('a port that is taken is a coded error', async () => {
  const port = Number(new URL(door.url).port);
  await expect(open({ port })).rejects.toMatchObject({ code: 'THAW_PORT_UNAVAILABLE' });
});

describe('strangers', () => {
  test.each(['evil.example.org', 'thaw.example.org.evil.example.org', '127.0.0.1.evil.example.org', 'a b'])(
    'a page under the host name "%s" gets nothing (DNS rebinding)',
    async (host) => {
      await expectRefusal(await call('/v1/status', { headers: { host } }), 403, 'THAW_ORIGIN_REFUSED');
      await expectRefusal(
        await call(`/?token=${encodeURIComponent(token)}`, { headers: { host } }),
        403,
        'THAW_ORIGIN_REFUSED',
      );
    },
  );
  test.each(['localhost:1234', '127.0.0.1', '[::1]:80', 'thaw.example.org', 'thaw.example.org:8080'])(
    'the host name %s is served',
    async (host) => {
      expect((await call('/v1/status', { headers: { host } })).status).toBe(200);
    },
  );
  test('other origins change nothing; the own one and allowed ones do', async () => {
    for (const origin of ['https://evil.example.org', 'null', 'http://127.0.0.1:1'])
      await expectRefusal(
        await post('/v1/channels/stable/promote', { step: 10 }, { origin }),
        403,
        'THAW_ORIGIN_REFUSED',
      );
    expect(moved).toEqual([]);
    for (const origin of [door.url, 'https://console.example.org'])
      expect((await post('/v1/channels/stable/promote', { step: 10 }, { origin })).status).toBe(200);
  });
});

describe('every answer', () => {
  test('forbids foreign scripts, framing, guessing of types and caching', async () => {
    for (const path of ['/', '/page/page.js', '/v1/status', '/healthz', '/nothing', '/%zz']) {
      const { headers } = await call(path);
      expect(headers['content-security-policy'], path).toContain("default-src 'self'");
      expect(headers['content-security-policy'], path).toContain("frame-ancestors 'none'");
      expect(headers['content-security-policy'], path).not.toMatch(/unsafe/);
      expect(headers, path).toMatchObject({
        'x-content-type-options': 'nosniff',
        'referrer-policy': 'no-referrer',
        'cache-control': 'no-store',
      });
    }
  });

  test('to what does not exist is a coded sentence', async () => {
    await expectRefusal(await call('/nothing/here?secret=1'), 404, 'THAW_NOT_FOUND');
    expect((await call('/nothing/here?secret=1')).text).not.toContain('secret');
    await expectRefusal(await call('/v1/status', { method: 'DELETE' }), 404, 'THAW_NOT_FOUND');
    await expectRefusal(await call('/v1/events', { method: 'POST' }), 404, 'THAW_NOT_FOUND');
    await expectRefusal(await call(`/${'x'.repeat(5000)}`), 404, 'THAW_NOT_FOUND');
    await expectRefusal(await call('/%zz'), 400, 'THAW_REQUEST_INVALID');
    expect((await call('/v1/events', { method: 'HEAD' })).status).toBe(404);
  });
});

test('page files are those of the page, by no other path', async () => {
  for (const [file, type] of [
    ['page.js', 'text/javascript'],
    ['page.css', 'text/css'],
  ])
    expect((await call(`/page/${file}`)).headers['content-type']).toContain(type);
  for (const file of [
    ...['index.html', '../config.ts', '..%2fconfig.ts', '%2e%2e/package.json', '..%5cconfig.ts', 'page.js%00.css'],
    ...['__proto__', 'constructor', '', 'x'.repeat(150)],
  ])
    await expectRefusal(await call(`/page/${file}`), 404, 'THAW_NOT_FOUND');
});

test('pictures of evaluations, and nothing else of the store', async () => {
  const png = Uint8Array.of(0x89, 0x50, 0x4e, 0x47);
  await store.put(evaluationPicture('trial', 10), png);
  const found = await call('/v1/evaluations/10.png');
  expect([found.status, found.headers['content-type'], found.headers['content-length']]).toEqual([
    200,
    'image/png',
    '4',
  ]);
  for (const file of ['20.png', '10.json', '..%2f..%2frun.json', '-1.png', '10.png.json', '99999999999.png'])
    await expectRefusal(await call(`/v1/evaluations/${file}`), 404, 'THAW_NOT_FOUND');
});

describe('channels', () => {
  const log = async (): Promise<(string | number)[][]> => {
    const records = [];
    for await (const { record } of readLog(store, 'stable'))
      records.push([record.action, record.step, record.actor, record.reason ?? '']);
    return records;
  };

  test('promote and roll back write records and say so', async () => {
    const first = await post('/v1/channels/stable/promote', { step: 10, actor: 'ann', reason: 'looks good' });
    expect([first.status, JSON.parse(first.text)]).toEqual([
      200,
      {
        channel: 'stable',
        action: 'promote',
        step: 10,
        run: 'trial',
        seq: 1,
        sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
      },
    ]);
    await post('/v1/channels/stable/promote', { step: 20 });
    const back = await post('/v1/channels/stable/rollback', {});
    expect(JSON.parse(back.text)).toMatchObject({ action: 'rollback', step: 10, seq: 3 });
    expect(await log()).toEqual([
      ['promote', 10, 'ann', 'looks good'],
      ['promote', 20, 'http', ''],
      ['rollback', 10, 'http', ''],
    ]);
    expect(moved).toEqual(['stable', 'stable', 'stable']);
  });

  test.each([
    ['an unknown channel', '/v1/channels/production/promote', { step: 10 }, 400, 'THAW_CHANNEL_UNKNOWN'],
    ['a path for a channel', '/v1/channels/..%2f..%2fx/promote', { step: 10 }, 400, 'THAW_CHANNEL_UNKNOWN'],
    ['a step without checkpoint', '/v1/channels/stable/promote', { step: 11 }, 404, 'THAW_CHECKPOINT_NOT_FOUND'],
    ['a negative step', '/v1/channels/stable/promote', { step: -1 }, 400, 'THAW_REQUEST_INVALID'],
    ['a step in words', '/v1/channels/stable/promote', { step: '10' }, 400, 'THAW_REQUEST_INVALID'],
    ['no step', '/v1/channels/stable/promote', {}, 400, 'THAW_REQUEST_INVALID'],
    ['a field too many', '/v1/channels/stable/promote', { step: 10, force: true }, 400, 'THAW_REQUEST_INVALID'],
    ['a list', '/v1/channels/stable/promote', [], 400, 'THAW_REQUEST_INVALID'],
    ['no JSON', '/v1/channels/stable/promote', '{"step": 10', 400, 'THAW_REQUEST_INVALID'],
    ['an empty body', '/v1/channels/stable/promote', '', 400, 'THAW_REQUEST_INVALID'],
    [
      'a reason of a book',
      '/v1/channels/stable/promote',
      { step: 10, reason: 'x'.repeat(3000) },
      400,
      'THAW_REQUEST_INVALID',
    ],
    [
      'a huge body',
      '/v1/channels/stable/promote',
      { step: 10, reason: 'x'.repeat(70_000) },
      413,
      'THAW_BODY_TOO_LARGE',
    ],
    ['a rollback with nothing behind it', '/v1/channels/stable/rollback', {}, 404, 'THAW_CHANNEL_NOT_FOUND'],
  ])('%s is refused and moves nothing', async (_what, path, body, httpStatus, code) => {
    await expectRefusal(await post(path, body), httpStatus, code);
    expect(await log()).toEqual([]);
    expect(moved).toEqual([]);
  });

  test('a body of another type is refused', async () => {
    await expectRefusal(
      await post('/v1/channels/stable/promote', 'step=10', { 'content-type': 'application/x-www-form-urlencoded' }),
      415,
      'THAW_MEDIA_TYPE',
    );
    expect(moved).toEqual([]);
  });
});

test('status and steps are told as JSON', async () => {
  expect(JSON.parse((await call('/v1/status')).text)).toEqual(JSON.parse(JSON.stringify(status())));
  expect(JSON.parse((await call('/v1/steps')).text)).toEqual(points);
});

test('health is open to all, says why, and is not live when a check fails', async () => {
  const without = { headers: { authorization: '', host: 'a.probe.example.org' } };
  health.register('lead', 'ready', () => ({ ok: false, reason: 'No plan has been read yet.' }));
  expect((await call('/healthz', without)).status).toBe(200);
  const ready = await call('/readyz', without);
  expect([ready.status, JSON.parse(ready.text)]).toEqual([
    503,
    {
      live: true,
      ready: false,
      checks: [{ name: 'lead', kind: 'ready', ok: false, reason: 'No plan has been read yet.' }],
    },
  ]);
});

describe('events', () => {
  /** Reads until the text so far satisfies `enough`. */
  async function read(response: Response, enough: (text: string) => boolean): Promise<string> {
    const reader = response.body!.getReader();
    let text = '';
    while (!enough(text)) {
      const { done, value } = await reader.read();
      if (done) throw new Error(`The stream ended after: ${text}`);
      text += new TextDecoder().decode(value);
    }
    reader.releaseLock();
    return text;
  }
  const follow = (to = door): Promise<Response> =>
    fetch(`${to.url}/v1/events`, { headers: { authorization: `Bearer ${token}` } });
  const events = (text: string): [string, unknown][] =>
    text
      .split('\n\n')
      .slice(0, -1)
      .map((block) => {
        const [name, data] = block.split('\n');
        return [name!.slice('event: '.length), JSON.parse(data!.slice('data: '.length))];
      });

  test('bring all steps and the status first, then what is new', async () => {
    const response = await follow();
    expect(response.headers.get('content-type')).toBe('text/event-stream');
    expect(response.headers.get('content-security-policy')).toContain("default-src 'self'");
    const first = events(await read(response, (text) => text.includes('event: status') && text.endsWith('\n\n')));
    expect(first).toEqual([
      ['steps', points],
      ['status', JSON.parse(JSON.stringify(status()))],
    ]);
    const fresh = { step: 2, loss: null, imagesPerSecond: 41 };
    door.broadcast([fresh]);
    const next = events(await read(response, (text) => text.includes('event: status') && text.endsWith('\n\n')));
    expect(next[0]).toEqual(['steps', [fresh]]);
    await response.body!.cancel();
  });

  test('are refused to one watcher too many, and given again when one has left', async () => {
    const small = await open({ maxWatchers: 2 });
    const watching = [await follow(small), await follow(small)];
    const refused = await call('/v1/events', { to: small });
    await expectRefusal(refused, 503, 'THAW_TOO_MANY_WATCHERS');
    await watching[0]!.body!.cancel();
    for (;;) {
      const response = await follow(small);
      await response.body!.cancel();
      if (response.status === 200) break;
    }
  });

  test('end when the door closes', async () => {
    const response = await follow();
    await door.close();
    await expect(
      (async () => {
        for await (const _ of response.body!);
      })(),
    ).resolves.toBeUndefined();
  });

  test('are not kept for a watcher that does not read', async () => {
    const socket = connect(Number(new URL(door.url).port), '127.0.0.1');
    socket.on('error', () => undefined);
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.write(`GET /v1/events HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${token}\r\n\r\n`);
    await new Promise((resolve) => socket.once('data', resolve));
    socket.pause();
    const many = Array.from({ length: 20_000 }, (_, step) => ({ step, loss: 0.123456789, imagesPerSecond: 12.3456 }));
    let gone = false;
    void closed.then(() => (gone = true));
    for (let i = 0; i < 100 && !gone; i++) {
      door.broadcast(many);
      await new Promise((resolve) => setImmediate(resolve));
    }
    socket.resume();
    await closed;
  });
});

describe('the playground', () => {
  test('starts a job with what was asked for', async () => {
    const answer = await post('/v1/playground', {
      seed: 5,
      sampler: 'direct',
      channel: 'stable',
      image: 'AQID',
      convert: true,
    });
    expect([answer.status, JSON.parse(answer.text)]).toMatchObject([202, { job, severities: [3, 2, 1, 0] }]);
    expect((await post('/v1/playground', {})).status).toBe(202);
    expect(asked).toEqual([
      { seed: 5, sampler: 'direct', channel: 'stable', image: Uint8Array.of(1, 2, 3), convert: true },
      { seed: 0, sampler: 'algorithm2' },
    ]);
  });

  test.each([
    ['a seed too large', { seed: 2 ** 32 }, 400, 'THAW_REQUEST_INVALID'],
    ['an unknown sampler', { sampler: 'magic' }, 400, 'THAW_REQUEST_INVALID'],
    ['an unknown channel', { channel: 'production' }, 400, 'THAW_REQUEST_INVALID'],
    ['an image that is not base64', { image: '<svg>' }, 400, 'THAW_REQUEST_INVALID'],
    ['an image that is too large', { image: 'A'.repeat(700_004) }, 400, 'THAW_REQUEST_INVALID'],
    ['a body that is too large', { image: 'A'.repeat(1_200_000) }, 413, 'THAW_BODY_TOO_LARGE'],
    ['a conversion that is no yes or no', { image: 'AQID', convert: 'yes' }, 400, 'THAW_REQUEST_INVALID'],
    ['a field too many', { count: 100 }, 400, 'THAW_REQUEST_INVALID'],
  ])('%s is refused before a sampler hears of it', async (_what, body, httpStatus, code) => {
    await expectRefusal(await post('/v1/playground', body), httpStatus, code);
    expect(asked).toEqual([]);
  });

  test('passes on what a sampler refuses, and strangers do not get so far', async () => {
    await expectRefusal(await post('/v1/playground', { image: 'AAAA' }), 400, 'THAW_IMAGE_INVALID');
    asked = [];
    await expectRefusal(
      await post('/v1/playground', {}, { origin: 'https://evil.example.org' }),
      403,
      'THAW_ORIGIN_REFUSED',
    );
    expect(asked).toEqual([]);
  });

  test('streams frames to their end, and from where a browser stopped', async () => {
    const whole = await call(`/v1/playground/${job}/frames`);
    expect(whole.headers).toMatchObject({ 'content-type': 'text/event-stream', 'x-content-type-options': 'nosniff' });
    const parsed = whole.text.split('\n\n').map((block) => block.split('\n').map((line) => line.split(/: (.*)/, 2)));
    expect(parsed.slice(0, 4).map(([id, name]) => [id![1], name![1]])).toEqual(
      [1, 2, 3, 4].map((sequence) => [String(sequence), 'frame']),
    );
    expect(JSON.parse(parsed[2]![2]![1]!)).toEqual({ sequence: 3, severity: 1, x: 'Aw==', estimate: 'CQ==' });
    expect(parsed[4]!.map((line) => line[1])).toEqual(['end', JSON.stringify({ state: 'done', original: 'Bw==' })]);
    const rest = await call(`/v1/playground/${job}/frames`, { headers: { 'last-event-id': '3' } });
    expect(rest.text.match(/^id: .*/gm)).toEqual(['id: 4']);
  });

  test('has no frames of jobs that do not exist', async () => {
    for (const name of ['b'.repeat(32), '..%2f..', 'A'.repeat(32), 'x'.repeat(150)])
      await expectRefusal(await call(`/v1/playground/${name}/frames`), 404, 'THAW_JOB_NOT_FOUND');
    expect((await call(`/v1/playground/${job}/frames`, { method: 'HEAD' })).status).toBe(404);
  });

  test('is limited in pages, and says so when a sampler is lost under way', async () => {
    let answer: (() => void) | undefined;
    let lost = false;
    const waiting: Playground = {
      ...playground,
      async frames(request) {
        if (request.waitMs > 0) await new Promise<void>((resolve) => (answer = resolve));
        if (lost) throw new ThawError('THAW_SERVICE_UNREACHABLE', 'No sampler answers.');
        return { frames: [] };
      },
    };
    const to = await open({ playground: waiting, maxPlaying: 1 });
    const first = call(`/v1/playground/${job}/frames`, { to });
    while (answer === undefined) await new Promise((resolve) => setImmediate(resolve));
    await expectRefusal(await call(`/v1/playground/${job}/frames`, { to }), 503, 'THAW_TOO_MANY_WATCHERS');
    lost = true;
    (answer as () => void)();
    expect((await first).text).toMatch(/^event: refused\ndata: .*THAW_SERVICE_UNREACHABLE/);
    await expectRefusal(await call(`/v1/playground/${job}/frames`, { to }), 503, 'THAW_SERVICE_UNREACHABLE');
  });
});

test('what is not HTTP gets a coded answer and no more', async () => {
  const socket = connect(Number(new URL(door.url).port), '127.0.0.1');
  let text = '';
  socket.setEncoding('utf8').on('data', (part: string) => (text += part));
  const closed = new Promise((resolve) => socket.once('close', resolve));
  socket.write('\0\0\0 not http\r\n\r\n');
  await closed;
  expect(text).toMatch(/^HTTP\/1\.1 400 /);
  expect(JSON.parse(text.split('\r\n\r\n')[1]!)).toMatchObject({ code: 'THAW_REQUEST_INVALID' });
});
