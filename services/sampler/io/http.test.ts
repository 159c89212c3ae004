import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { crc32, deflateSync } from 'node:zlib';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { errorRegistry } from '@thaw/shared/protocol';
import type { ImageShape } from '../ports.js';
import { openDoor, startHarness, token, type Door, type Harness } from '../sampler.fixture.js';
import { createImageCodec } from './image-codec.js';

let sampler: Harness;
let door: Door;
beforeAll(async () => {
  sampler = await startHarness();
  door = await openDoor(sampler);
});
afterAll(async () => {
  await door.close();
  await sampler.close();
});

const post = (path: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> =>
  door.call(path, {
    method: 'POST',
    body: typeof body === 'string' ? body : JSON.stringify(body),
    headers: { 'content-type': 'application/json', ...headers },
  });

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(data.length);
  sum.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, sum]);
}
/** A PNG file that claims to have width x height grey pixels, in a few bytes. */
function pngOfSize(width: number, height: number): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header[8] = 8;
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  return Buffer.concat([
    signature,
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(Buffer.alloc(64))),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}
const grey = (width: number, height: number): Promise<Buffer> =>
  sharp(Buffer.from(Array.from({ length: width * height }, (_, i) => (i * 5) % 256)), {
    raw: { width, height, channels: 1 },
  })
    .png()
    .toBuffer();

/** Every answer to a bad request is a coded sentence, and the process answers afterwards. */
async function expectRefusal(response: Response, status: number, code: string): Promise<Record<string, unknown>> {
  const text = await response.text();
  expect([response.status, text]).toEqual([status, expect.stringContaining('"code"')]);
  const body = JSON.parse(text) as Record<string, unknown>;
  expect(body).toMatchObject({ code, message: expect.any(String), cure: expect.any(String) });
  expect(Object.keys(errorRegistry)).toContain(body.code);
  expect(text).not.toMatch(/node_modules|\.ts:|\.js:|at Object/);
  expect((await fetch(`${door.url}/healthz`)).status).toBe(200);
  return body;
}

it('a port that is taken is a coded error', async () => {
  const port = Number(new URL(door.url).port);
  await expect(openDoor(sampler, { port })).rejects.toMatchObject({ code: 'THAW_PORT_UNAVAILABLE' });
});

describe('the API', () => {
  it('takes a job, tells how far it is, and gives its images', async () => {
    const accepted = await post('/v1/jobs', { count: 2, seed: 7 });
    expect(accepted.status).toBe(202);
    const { id } = (await accepted.json()) as { id: string };
    expect(accepted.headers.get('location')).toBe(`/v1/jobs/${id}`);
    const status = (await (await door.call(`/v1/jobs/${id}?waitMs=5000`)).json()) as Record<string, unknown>;
    expect(status).toMatchObject({
      id,
      state: 'done',
      done: 2,
      version: 3,
      dataset: 'fake',
      rows: [{ testIndex: expect.any(Number) }, {}],
    });
    for (const what of ['sampled', 'degraded', 'direct', 'original']) {
      const image = await door.call(`/v1/jobs/${id}/images/1.png?what=${what}`);
      expect(image.headers.get('content-type')).toBe('image/png');
      expect(await sharp(Buffer.from(await image.arrayBuffer())).metadata()).toMatchObject({
        format: 'png',
        width: 16,
        height: 16,
        channels: 1,
      });
    }
    const tensors = await door.call(`/v1/jobs/${id}/images/0.safetensors`);
    expect(Buffer.from(await tensors.arrayBuffer())).toEqual(Buffer.from(await sampler.service.resultBytes(id, 0)));
    await expectRefusal(await door.call(`/v1/jobs/${id}/images/2.png`), 404, 'THAW_JOB_NOT_FOUND');
    await expectRefusal(await door.call(`/v1/jobs/${id}/images/0.png?what=secret`), 400, 'THAW_JOB_INVALID');
    await expectRefusal(await door.call(`/v1/jobs/${id}/images/..%2f0.png`), 404, 'THAW_JOB_NOT_FOUND');
  });

  it('restores an image for curl, the same as a JSON job, and again the same', async () => {
    const file = await grey(16, 16);
    const send = (): Promise<Response> =>
      door.call('/v1/restore?seed=3', {
        method: 'POST',
        body: file as never,
        headers: { 'content-type': 'image/png' },
      });
    const [first, second] = [await send(), await send()];
    expect([first.status, first.headers.get('content-type')]).toEqual([200, 'image/png']);
    const bytes = Buffer.from(await first.arrayBuffer());
    expect(Buffer.from(await second.arrayBuffer())).toEqual(bytes);
    const accepted = (await (
      await post('/v1/jobs', { mode: 'restore', seed: 3, image: file.toString('base64') })
    ).json()) as { id: string };
    await door.call(`/v1/jobs/${accepted.id}?waitMs=5000`);
    expect(Buffer.from(await (await door.call(`/v1/jobs/${accepted.id}/images/0.png`)).arrayBuffer())).toEqual(bytes);
    const degradedFirst = await door.call('/v1/restore?seed=3&degrade=true', {
      method: 'POST',
      body: file as never,
      headers: { 'content-type': 'image/png' },
    });
    expect(Buffer.from(await degradedFirst.arrayBuffer())).not.toEqual(bytes);
  });

  it('restores a colour image by a model of greyscale images only when told to convert it', async () => {
    const file = await sharp({ create: { width: 16, height: 16, channels: 3, background: '#c04020' } })
      .png()
      .toBuffer();
    const send = (query: string): Promise<Response> =>
      door.call(`/v1/restore?seed=3${query}`, {
        method: 'POST',
        body: file as never,
        headers: { 'content-type': 'image/png' },
      });
    await expectRefusal(await send(''), 400, 'THAW_IMAGE_INVALID');
    await expectRefusal(await send('&convert=false'), 400, 'THAW_IMAGE_INVALID');
    await expectRefusal(await send('&convert=maybe'), 400, 'THAW_JOB_INVALID');
    await expectRefusal(
      await post('/v1/jobs', { mode: 'restore', image: file.toString('base64') }),
      400,
      'THAW_IMAGE_INVALID',
    );
    const converted = await send('&convert=true');
    expect(converted.status).toBe(200);
    expect(await sharp(Buffer.from(await converted.arrayBuffer())).metadata()).toMatchObject({
      width: 16,
      space: 'b-w',
    });
  });

  it('draws a sheet of samples', async () => {
    const sheet = await door.call('/v1/sample.png?count=3&seed=5');
    const { width, height } = await sharp(Buffer.from(await sheet.arrayBuffer())).metadata();
    expect([width, height]).toEqual([3 * (3 * 18 + 2), 3 * (4 * 18 + 2)]);
    await expectRefusal(await door.call('/v1/sample.png?count=3&count=4'), 400, 'THAW_JOB_INVALID');
    await expectRefusal(await door.call('/v1/sample.png?size=3'), 400, 'THAW_JOB_INVALID');
  });

  it('cancels, and says gone afterwards', async () => {
    const { id } = (await (await post('/v1/jobs', { count: 16, seed: 1 })).json()) as { id: string };
    const cancelled = await door.call(`/v1/jobs/${id}`, { method: 'DELETE' });
    expect(((await cancelled.json()) as { state: string }).state).toMatch(/cancelled|done/);
  });

  it('describes itself', async () => {
    const document = (await (await door.call('/openapi.json')).json()) as {
      openapi: string;
      paths: Record<string, unknown>;
    };
    expect(document.openapi).toBe('3.1.0');
    expect(Object.keys(document.paths).sort()).toEqual([
      '/healthz',
      '/readyz',
      '/v1/estimates',
      '/v1/jobs',
      '/v1/jobs/{id}',
      '/v1/jobs/{id}/images/{file}',
      '/v1/restore',
      '/v1/sample.png',
    ]);
    expect(JSON.stringify(document.paths['/v1/jobs'])).toContain('framesPerSecond');
  });
});

describe('bad requests', () => {
  it.each([
    ['a wrong type', { count: 'many' }, 400, 'THAW_JOB_INVALID'],
    ['a huge count', { count: 1_000_000_000 }, 400, 'THAW_JOB_INVALID'],
    ['more than a job may have', { count: 33 }, 400, 'THAW_JOB_INVALID'],
    ['an unknown channel', { channel: 'nonsense' }, 400, 'THAW_CHANNEL_UNKNOWN'],
    ['an empty channel', { channel: 'stable' }, 404, 'THAW_CHANNEL_NOT_FOUND'],
    ['a version that does not exist', { version: 999 }, 404, 'THAW_CHECKPOINT_NOT_FOUND'],
    ['an expired deadline', { deadlineMs: -5 }, 422, 'THAW_DEADLINE_EXPIRED'],
    ['no prior', { mode: 'generate' }, 422, 'THAW_PRIOR_MISSING'],
    ['a severity beyond T', { severity: 7 }, 400, 'THAW_SAMPLING_INVALID'],
    ['an unknown field', { sedd: 7 }, 400, 'THAW_JOB_INVALID'],
    ['not an image', { mode: 'restore', image: Buffer.from('hello').toString('base64') }, 400, 'THAW_IMAGE_INVALID'],
    [
      'a torn image',
      { mode: 'restore', image: pngOfSize(16, 16).subarray(0, 40).toString('base64') },
      400,
      'THAW_IMAGE_INVALID',
    ],
    [
      'a PNG bomb',
      { mode: 'restore', image: pngOfSize(10_000, 10_000).toString('base64') },
      413,
      'THAW_IMAGE_TOO_LARGE',
    ],
    ['broken JSON', '{"count": ', 400, 'THAW_JOB_INVALID'],
    ['no JSON object', '[]', 400, 'THAW_JOB_INVALID'],
    ['a polluted prototype', '{"__proto__": {"count": 3}}', 400, 'THAW_JOB_INVALID'],
  ])('%s', async (_name, body, status, code) => {
    await expectRefusal(await post('/v1/jobs', body), status, code);
  });

  it('name the fields', async () => {
    const { message } = await expectRefusal(
      await post('/v1/jobs', { count: 'many', seed: -1 }),
      400,
      'THAW_JOB_INVALID',
    );
    expect(message).toMatch(/count: .*seed: /);
  });

  it('of a wrong media type, or too large', async () => {
    await expectRefusal(await post('/v1/jobs', 'x', { 'content-type': 'text/csv' }), 415, 'THAW_MEDIA_TYPE');
    await expectRefusal(await post('/v1/restore', {}), 415, 'THAW_MEDIA_TYPE');
    await expectRefusal(await post('/v1/jobs', { image: 'A'.repeat(2 << 20) }), 413, 'THAW_BODY_TOO_LARGE');
    const bomb = pngOfSize(10_000, 10_000);
    const sent = await door.call('/v1/restore', {
      method: 'POST',
      body: bomb as never,
      headers: { 'content-type': 'image/png' },
    });
    await expectRefusal(sent, 413, 'THAW_IMAGE_TOO_LARGE');
    // An SVG never reaches a decoder, whatever it calls itself.
    const svg = await door.call('/v1/restore', {
      method: 'POST',
      body: '<svg xmlns="http://www.w3.org/2000/svg"/>',
      headers: { 'content-type': 'image/png' },
    });
    await expectRefusal(svg, 400, 'THAW_IMAGE_INVALID');
  });

  it('for what is not there', async () => {
    await expectRefusal(await door.call('/v1/nothing'), 404, 'THAW_ROUTE_NOT_FOUND');
    await expectRefusal(await door.call(`/v1/jobs/${'0'.repeat(32)}`), 404, 'THAW_JOB_NOT_FOUND');
    await expectRefusal(await door.call('/v1/jobs/..%2f..%2fetc'), 404, 'THAW_JOB_NOT_FOUND');
    await expectRefusal(await door.call('/v1/jobs/%zz'), 400, 'THAW_JOB_INVALID');
    await expectRefusal(await door.call(`/v1/jobs/${'0'.repeat(32)}?waitMs=soon`, {}), 400, 'THAW_JOB_INVALID');
  });

  it('that are no HTTP at all', async () => {
    const answer = await new Promise<string>((resolve, reject) => {
      const socket = connect(Number(new URL(door.url).port), '127.0.0.1', () => socket.write('NONSENSE\r\n\r\n'));
      let text = '';
      socket.on('data', (data) => (text += data.toString()));
      socket.on('close', () => resolve(text));
      socket.on('error', reject);
    });
    expect(answer).toMatch(/^HTTP\/1\.1 400 .*"code":"THAW_JOB_INVALID"/s);
  });

  it('beyond the queue get Retry-After', async () => {
    let letGo!: () => void;
    const held = new Promise<void>((resolve) => (letGo = resolve));
    const slow = await startHarness({ maxQueuedRows: 32, gate: () => held });
    const slowDoor = await openDoor(slow);
    const send = (seed: number): Promise<Response> =>
      slowDoor.call('/v1/jobs', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ count: 20, seed }),
      });
    const taken = await send(0);
    expect(taken.status).toBe(202);
    const refused = await send(1);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    await expectRefusal(refused, 429, 'THAW_QUEUE_FULL');
    letGo();
    const { id } = (await taken.json()) as { id: string };
    expect(await (await slowDoor.call(`/v1/jobs/${id}?waitMs=10000`)).json()).toMatchObject({ state: 'done' });
    await slowDoor.close();
    await slow.close();
  });
});

describe('access', () => {
  it('needs the token everywhere but for health', async () => {
    for (const path of ['/v1/jobs', '/openapi.json', '/v1/sample.png', '/nothing', '/healthz/../v1/jobs']) {
      const response = await fetch(door.url + path);
      expect(response.headers.get('www-authenticate')).toContain('Bearer');
      await expectRefusal(response, 401, 'THAW_UNAUTHORIZED');
    }
    await expectRefusal(
      await fetch(`${door.url}/v1/jobs`, { headers: { authorization: 'Bearer wrong' } }),
      401,
      'THAW_UNAUTHORIZED',
    );
    for (const path of ['/healthz', '/readyz']) expect((await fetch(door.url + path)).status).toBe(200);
  });

  it('refuses pages of strangers where something changes', async () => {
    await expectRefusal(await post('/v1/jobs', {}, { origin: 'https://evil.example' }), 403, 'THAW_ORIGIN_REFUSED');
    await expectRefusal(await post('/v1/jobs', {}, { origin: 'null' }), 403, 'THAW_ORIGIN_REFUSED');
    expect((await post('/v1/jobs', {}, { origin: 'https://friend.example' })).status).toBe(202);
    expect((await post('/v1/jobs', {}, { origin: door.url })).status).toBe(202);
  });

  it('refuses foreign host names', async () => {
    const status = await new Promise((resolve, reject) => {
      const headers = { host: 'rebound.example', authorization: `Bearer ${token}` };
      httpRequest(`${door.url}/openapi.json`, { headers }, (response) => resolve(response.resume().statusCode))
        .on('error', reject)
        .end();
    });
    expect(status).toBe(403);
  });
});

describe('frames', () => {
  interface Seen {
    readonly sequences: number[];
    readonly messages: { type: string; row?: number; severity?: number; x?: string; state?: string }[];
  }
  const watch = (
    path: string,
    options: { protocols?: string[]; headers?: Record<string, string>; stopAfter?: number } = {},
  ): Promise<Seen> =>
    new Promise((resolve, reject) => {
      const headers = options.headers ?? { authorization: `Bearer ${token}` };
      const socket = new WebSocket(door.url.replace('http', 'ws') + path, options.protocols ?? [], { headers });
      const seen: Seen = { sequences: [], messages: [] };
      socket.on('message', (data) => {
        if (seen.sequences.length === options.stopAfter) return; // what was on its way when it closed
        const message = JSON.parse(String(data)) as Seen['messages'][number] & { sequence?: number };
        seen.messages.push(message);
        if (message.sequence !== undefined) seen.sequences.push(message.sequence);
        if (seen.sequences.length === options.stopAfter) socket.close();
      });
      socket.on('close', () => resolve(seen));
      socket.on('unexpected-response', (_request, response) => {
        let text = '';
        response.on('data', (data: Buffer) => (text += data.toString()));
        response.on('end', () => reject(new Error(`${response.statusCode} ${text}`)));
      });
      socket.on('error', reject);
    });
  const job = async (body: Record<string, unknown>): Promise<string> =>
    ((await (await post('/v1/jobs', body)).json()) as { id: string }).id;

  it('come numbered from x_T to x_0, and go on where another connection stopped', async () => {
    const id = await job({ count: 2, seed: 7, framesPerSecond: 60 });
    const first = await watch(`/v1/jobs/${id}/frames`, { stopAfter: 5 });
    expect(first.sequences).toEqual([1, 2, 3, 4, 5]);
    const rest = await watch(`/v1/jobs/${id}/frames?after=5`);
    expect(rest.sequences).toEqual([6, 7, 8, 9, 10, 11, 12, 13, 14]);
    expect(rest.messages.at(-1)).toEqual({ type: 'end', state: 'done' });
    expect(first.messages.map(({ row, severity }) => [row, severity])).toEqual([
      [0, 6],
      [1, 6],
      [0, 5],
      [1, 5],
      [0, 4],
    ]);
    const last = rest.messages.at(-2)!;
    const image = await door.call(`/v1/jobs/${id}/images/1.png`);
    expect(Buffer.from(last.x!, 'base64')).toEqual(Buffer.from(await image.arrayBuffer()));
  });

  it('take the token as a subprotocol, as browsers send it', async () => {
    const id = await job({ framesPerSecond: 60 });
    const seen = await watch(`/v1/jobs/${id}/frames`, {
      protocols: ['thaw.frames', `thaw.bearer.${token}`],
      headers: {},
    });
    expect(seen.sequences).toHaveLength(7);
  });

  it('are refused with a code before the upgrade', async () => {
    const id = await job({ framesPerSecond: 60 });
    const path = `/v1/jobs/${id}/frames`;
    await expect(watch(path, { headers: {} })).rejects.toThrow(/401 .*THAW_UNAUTHORIZED/);
    await expect(
      watch(path, { headers: { authorization: `Bearer ${token}`, origin: 'https://evil.example' } }),
    ).rejects.toThrow(/403 .*THAW_ORIGIN_REFUSED/);
    await expect(watch('/v1/jobs/nonsense/frames')).rejects.toThrow(/404 .*THAW_JOB_NOT_FOUND/);
    await expect(watch('/elsewhere')).rejects.toThrow(/404 .*THAW_ROUTE_NOT_FOUND/);
    await expect(watch(`${path}?after=-1`)).rejects.toThrow(/400 .*THAW_JOB_INVALID/);
    await expect(watch(`/v1/jobs/${await job({})}/frames`)).rejects.toThrow(/409 .*THAW_FRAMES_NOT_KEPT/);
    expect((await fetch(`${door.url}/healthz`)).status).toBe(200);
  });
});

describe('images', () => {
  const codec = createImageCodec({ maxPixels: 10_000 });
  it('of the right size keep every pixel', async () => {
    const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
    const png = await codec.encodePng({ height: 16, width: 16, channels: 1, bytes });
    expect((await codec.decode(png, { height: 16, width: 16, channels: 1 }, false)).bytes).toEqual(bytes);
    const colour = Uint8Array.from({ length: 16 * 16 * 3 }, (_, i) => (i * 11) % 256);
    const colourPng = await codec.encodePng({ height: 16, width: 16, channels: 3, bytes: colour });
    expect((await codec.decode(colourPng, { height: 16, width: 16, channels: 3 }, false)).bytes).toEqual(colour);
  });
  it('of other sizes, depths and channels become what the model takes', async () => {
    const raw = { width: 50, height: 30, channels: 4 as const };
    const rgba = await sharp(Buffer.alloc(50 * 30 * 4, 200), { raw })
      .png()
      .toBuffer();
    expect((await codec.decode(rgba, { height: 16, width: 16, channels: 1 }, true)).bytes).toHaveLength(256);
    const deep = await sharp(await grey(16, 16))
      .toColourspace('grey16')
      .png()
      .toBuffer();
    expect((await codec.decode(deep, { height: 16, width: 16, channels: 1 }, false)).bytes).toHaveLength(256);
    const jpeg = await sharp(await grey(16, 16))
      .toColourspace('b-w')
      .jpeg()
      .toBuffer();
    expect((await codec.decode(jpeg, { height: 16, width: 16, channels: 3 }, true)).bytes).toHaveLength(768);
  });
  it('of greys are converted to colour, and colours to grey, only when that is asked for', async () => {
    const [greyShape, colourShape] = [1, 3].map((channels) => ({ height: 1, width: 2, channels }));
    const of = (bytes: number[], channels: 1 | 3 | 4) =>
      sharp(Buffer.from(bytes), { raw: { width: 2, height: 1, channels } });
    const greyPng = await of([7, 250], 1).toColourspace('b-w').png().toBuffer();
    const greyAlpha = await sharp(greyPng).ensureAlpha().toColourspace('b-w').png().toBuffer();
    const colourPng = await of([255, 0, 0, 0, 0, 255], 3).png().toBuffer();
    const drawing = await of([9, 9, 9, 255, 200, 200, 200, 255], 4).png().toBuffer(); // what a canvas gives
    const grey = [greyPng, greyAlpha];
    const colours = [colourPng, await sharp(colourPng).jpeg().toBuffer()];
    for (const file of grey)
      await expect(codec.decode(file, colourShape!, false)).rejects.toMatchObject({
        code: 'THAW_IMAGE_INVALID',
        message: 'image: the file is greyscale; the model takes colour (RGB) images only.',
        cure: expect.stringContaining('--convert') as string,
      });
    for (const file of colours)
      await expect(codec.decode(file, greyShape!, false)).rejects.toMatchObject({
        code: 'THAW_IMAGE_INVALID',
        message: 'image: the file is in colour; the model takes greyscale images only.',
      });
    const converted = async (file: Buffer, shape: ImageShape) => [...(await codec.decode(file, shape, true)).bytes];
    for (const file of grey) expect(await converted(file, colourShape!)).toEqual([7, 7, 7, 250, 250, 250]);
    // Pillow's luma, as packing computes it.
    expect(await converted(colourPng, greyShape!)).toEqual([76, 29]);
    expect(await converted(drawing, greyShape!)).toEqual([9, 200]);
    // Nothing is lost where there are no colours.
    const taken = async (file: Buffer, shape: ImageShape) => [...(await codec.decode(file, shape, false)).bytes];
    for (const file of grey) expect(await taken(file, greyShape!)).toEqual([7, 250]);
    expect(await taken(drawing, greyShape!)).toEqual([9, 200]);
    expect(await taken(colourPng, colourShape!)).toEqual([255, 0, 0, 0, 0, 255]);
  });
});
