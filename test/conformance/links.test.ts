/** Memory and NATS links: one suite, so that what simulation proves holds on the wire. */
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { ThawError } from '@thaw/shared/protocol';
import { systemClock } from '@thaw/shared/runtime';
import {
  connectBulk,
  connectControl,
  MemoryBroker,
  type BrokerHandle,
  type BulkLink,
  type BulkOptions,
  type ConnectOptions,
  type ControlLink,
  type LinkStatus,
} from '@thaw/shared/transport';
import { eventually, installedBrokers, type BrokerUnderTest } from './brokers.js';

/** Something to connect links to, that can go away and come back. */
interface Network {
  readonly label: string;
  start(): Promise<void>;
  control(options: ConnectOptions): Promise<ControlLink>;
  bulk(options: BulkOptions): Promise<BulkLink>;
  goDown(): Promise<void>;
  comeBack(): Promise<void>;
  stop(): Promise<void>;
}

function memoryNetwork(): Network {
  const broker = new MemoryBroker(systemClock);
  return {
    label: 'memory',
    start: () => Promise.resolve(),
    control: (options) => Promise.resolve(broker.connectControl(options)),
    bulk: (options) => Promise.resolve(broker.connectBulk(options)),
    goDown: () => Promise.resolve(broker.stop()),
    comeBack: () => Promise.resolve(broker.start()),
    stop: () => Promise.resolve(),
  };
}

function natsNetwork({ label, start }: BrokerUnderTest): Network {
  const token = 'links-token';
  let broker: BrokerHandle;
  return {
    label,
    start: async () => void (broker = await start({ token })),
    control: (options) => connectControl(broker.url, { token, ...options }),
    bulk: (options) => connectBulk(broker.url, { token, ...options }),
    async goDown() {
      process.kill(broker.pid!, 'SIGKILL');
      await broker.exited;
    },
    comeBack: async () => void (broker = await start({ token, port: Number(new URL(broker.url).port) })),
    stop: () => broker.close(),
  };
}

const { brokers, missing } = await installedBrokers();
for (const reason of missing) describe.skip(`nats-server (${reason})`, () => it('is not installed', () => undefined));

const bytes = (s: string): Uint8Array => Buffer.from(s);
const text = (b: Uint8Array): string => Buffer.from(b).toString();
const sha256 = (b: Uint8Array): string => createHash('sha256').update(b).digest('hex');
/** Deterministic bytes. */
const pattern = (length: number, seed: number): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (Math.imul(i + seed, 2654435761) >>> 13) & 255);
const shared = (source: Uint8Array): Uint8Array => {
  const view = new Uint8Array(new SharedArrayBuffer(source.byteLength));
  view.set(source);
  return view;
};

describe.each([memoryNetwork(), ...brokers.map(natsNetwork)])('links over $label', (network) => {
  const open: { close(): Promise<void> }[] = [];
  const keep = <L extends { close(): Promise<void> }>(link: L): L => {
    open.push(link);
    return link;
  };
  const control = async (name: string, options: Partial<ConnectOptions> = {}): Promise<ControlLink> =>
    keep(await network.control({ name, ...options }));
  const bulk = async (name: string, options: Partial<BulkOptions> = {}): Promise<BulkLink> =>
    keep(await network.bulk({ name, ...options }));

  beforeAll(() => network.start());
  afterEach(async () => {
    await Promise.all(open.splice(0).map((link) => link.close()));
  });
  afterAll(() => network.stop());

  describe('control', () => {
    it('keeps the order of events, whatever the pattern', async () => {
      const [a, b] = [await control('a'), await control('b')];
      const got: string[] = [];
      const exact: string[] = [];
      b.subscribe('run.>', (m, subject) => got.push(`${subject}=${text(m)}`));
      const subscription = b.subscribe('run.1.event', (m) => exact.push(text(m)));
      await b.flush();
      const sent = Array.from({ length: 200 }, (_, i) => `${i}`);
      for (const m of sent) a.publish('run.1.event', bytes(m));
      await a.flush();
      await eventually(() => got.length === 200 && exact.length === 200);
      expect(got).toEqual(sent.map((m) => `run.1.event=${m}`));
      expect(exact).toEqual(sent);
      subscription.unsubscribe();
      subscription.unsubscribe();
      await b.flush();
      a.publish('run.1.event', bytes('more'));
      await eventually(() => got.length === 201);
      expect(exact.length).toBe(200);
    });

    it('spreads a queue group', async () => {
      const [a, b, c] = [await control('a'), await control('b'), await control('c')];
      const got: string[][] = [[], []];
      for (const [i, link] of [b, c].entries()) {
        link.subscribe('job', (m) => got[i]!.push(text(m)), { queue: 'samplers' });
        await link.flush();
      }
      for (let i = 0; i < 100; i++) a.publish('job', bytes(`${i}`));
      await eventually(() => got.flat().length === 100);
      expect(new Set(got.flat()).size).toBe(100);
      expect(Math.min(got[0]!.length, got[1]!.length)).toBeGreaterThan(10);
    });

    it('answers requests, also slowly and out of order', async () => {
      const [server, asker] = [await control('server'), await control('asker')];
      const release: (() => void)[] = [];
      server.serve('echo.*', async (m, subject) => {
        if (subject.endsWith('.0')) await new Promise<void>((resolve) => release.push(resolve));
        if (subject.endsWith('.9')) for (const go of release) go();
        return Buffer.concat([bytes(`${subject}:`), m]);
      });
      await server.flush();
      const replies = await Promise.all(
        Array.from({ length: 10 }, (_, i) => asker.request(`echo.${i}`, bytes(`${i}`), { timeoutMs: 20_000 })),
      );
      expect(replies.map(text)).toEqual(Array.from({ length: 10 }, (_, i) => `echo.${i}:${i}`));
      expect((await asker.request('echo.1', new Uint8Array(0), { timeoutMs: 20_000 })).byteLength).toBe(7);
    });

    it('fails requests with a code', async () => {
      const errors: unknown[] = [];
      const [server, asker] = [await control('server', { onError: (e) => errors.push(e) }), await control('asker')];
      server.serve('fail.known', () => {
        throw new ThawError('THAW_DATA_NOT_LEASED', 'Not yours.', { details: { shard: 3 } });
      });
      server.serve('fail.unknown', () => Promise.reject(new Error('a secret')));
      server.serve('fail.never', () => new Promise<Uint8Array>(() => undefined));
      await server.flush();
      const ask = (subject: string, timeoutMs: number): Promise<Uint8Array> =>
        asker.request(subject, bytes('?'), { timeoutMs });
      await expect(ask('fail.known', 20_000)).rejects.toMatchObject({
        code: 'THAW_DATA_NOT_LEASED',
        message: 'Not yours.',
        details: { shard: 3 },
      });
      const unknown = await ask('fail.unknown', 20_000).catch((e: unknown) => e);
      expect(unknown).toMatchObject({ code: 'THAW_INTERNAL' });
      expect((unknown as Error).message).not.toContain('secret');
      expect(errors).toHaveLength(1);
      await expect(ask('fail.never', 50)).rejects.toMatchObject({ code: 'THAW_TRANSPORT_TIMEOUT' });
      await expect(ask('fail.nobody', 20_000)).rejects.toMatchObject({ code: 'THAW_TRANSPORT_NO_RESPONDER' });
      await expect(ask('fail.*', 20_000)).rejects.toMatchObject({ code: 'THAW_TRANSPORT_SUBJECT_INVALID' });
      await expect(asker.request('x', new Uint8Array((8 << 20) + 1), { timeoutMs: 100 })).rejects.toMatchObject({
        code: 'THAW_TRANSPORT_TOO_LARGE',
      });
      expect(() => asker.publish('a b', bytes(''))).toThrow(ThawError);
      expect(() => asker.subscribe('a..b', () => undefined)).toThrow(ThawError);
    });

    it('survives handlers that throw', async () => {
      const errors: unknown[] = [];
      const [a, b] = [await control('a'), await control('b', { onError: (e) => errors.push(e) })];
      const got: string[] = [];
      b.subscribe('x', (m) => {
        got.push(text(m));
        throw new Error('handler');
      });
      await b.flush();
      a.publish('x', bytes('1'));
      a.publish('x', bytes('2'));
      await eventually(() => got.length === 2 && errors.length === 2);
    });

    it('is over when closed', async () => {
      const a = await control('a');
      const seen: LinkStatus[] = [];
      a.onStatus((s) => seen.push(s));
      await a.close();
      await a.close();
      expect([a.status, ...seen]).toEqual(['closed', 'closed']);
      await expect(a.request('x', bytes(''), { timeoutMs: 20_000 })).rejects.toMatchObject({
        code: 'THAW_TRANSPORT_UNAVAILABLE',
      });
      a.publish('x', bytes('')); // dropped
    });
  });

  describe('bulk', () => {
    const sizes = [
      0,
      1,
      2,
      3,
      7,
      8,
      4095,
      4096,
      4097,
      16383,
      16384,
      65535,
      65536,
      65537,
      1 << 18,
      (1 << 20) - 1,
      1 << 20,
    ];

    it('brings payloads of every size unharmed, aligned and in order', async () => {
      const [a, b] = [await bulk('a'), await bulk('b')];
      const got: { subject: string; sha: string; size: number; offset: number }[] = [];
      b.subscribe('t.>', (subject, p) =>
        got.push({ subject, sha: sha256(p), size: p.byteLength, offset: p.byteOffset % 8 }),
      );
      await b.flush();
      const expected: typeof got = [];
      for (const [i, size] of sizes.entries()) {
        const payload = pattern(size, i);
        const view = pattern(size + 3, i + 50).subarray(2, 2 + size);
        const cut = Math.floor(size / 3);
        const messages: [string, Uint8Array, readonly Uint8Array[]][] = [
          ['shared', payload, [shared(payload)]],
          ['view', view, [view]],
          ['parts', payload, [shared(payload).subarray(0, cut), new Uint8Array(0), payload.subarray(cut)]],
        ];
        for (const [kind, whole, parts] of messages) {
          a.publish(`t.${kind}.${size}`, parts);
          expected.push({ subject: `t.${kind}.${size}`, sha: sha256(whole), size, offset: 0 });
          await a.drained();
        }
      }
      await a.flush();
      await eventually(() => got.length === expected.length);
      expect(got).toEqual(expected);
      const total = expected.reduce((sum, m) => sum + m.size, 0);
      expect(a.stats()).toEqual({
        messagesOut: expected.length,
        bytesOut: total,
        messagesIn: 0,
        bytesIn: 0,
        messagesDropped: 0,
      });
      expect(b.stats()).toEqual({
        messagesIn: expected.length,
        bytesIn: total,
        messagesOut: 0,
        bytesOut: 0,
        messagesDropped: 0,
      });
    });

    it('takes a copy of ordinary memory at once', async () => {
      const [a, b] = [await bulk('a'), await bulk('b')];
      const got: number[] = [];
      b.subscribe('x', (_s, p) => got.push(p[0]!, p[p.length - 1]!));
      await b.flush();
      const buffer = new Uint8Array(1 << 20).fill(1);
      a.publish('x', [buffer]);
      buffer.fill(2);
      a.publish('x', [buffer]);
      await eventually(() => got.length === 4);
      expect(got).toEqual([1, 1, 2, 2]);
    });

    it('gives every receiver bytes of its own, and the sender none unless it wants them', async () => {
      const [a, b, c, loud] = [await bulk('a'), await bulk('b'), await bulk('c'), await bulk('loud', { echo: true })];
      const got: Record<string, number[]> = { a: [], b: [], c: [], loud: [] };
      for (const [name, link] of Object.entries({ a, b, c, loud })) {
        link.subscribe('x.*', (_s, p) => {
          got[name]!.push(p[1]!);
          p.fill(9);
        });
        await link.flush();
      }
      a.publish('x.1', [Uint8Array.of(1, 2, 3)]);
      loud.publish('x.2', [Uint8Array.of(4, 5, 6)]);
      await eventually(() => got['b']!.length + got['c']!.length + got['loud']!.length === 6 && got['a']!.length === 1);
      await a.flush();
      for (const name of ['b', 'c', 'loud']) expect(got[name]!.sort()).toEqual([2, 5]);
      expect(got['a']).toEqual([5]);
    });

    it('keeps its window, and stops delivering after unsubscribe', async () => {
      const [a, b] = [await bulk('a', { windowBytes: 1 << 20 }), await bulk('b')];
      let received = 0;
      const subscription = b.subscribe('w', (_s, p) => (received += p.byteLength));
      await b.flush();
      const chunk = shared(pattern(1 << 20, 1));
      for (let i = 0; i < 16; i++) a.publish('w', [chunk]);
      let woke = false;
      const drained = a.drained().then(() => (woke = true));
      await Promise.resolve();
      expect(woke).toBe(false); // 16 MiB wait behind a window of 1
      await drained;
      await a.flush();
      await a.drained();
      await eventually(() => received === 16 << 20);
      subscription.unsubscribe();
      await b.flush();
      a.publish('w', [chunk]);
      await a.flush();
      await b.flush();
      expect(received).toBe(16 << 20);
      expect(b.stats().messagesIn).toBe(16);
    });

    it('refuses what the broker would', async () => {
      const a = await bulk('a');
      expect(a.maxPayloadBytes).toBe(8 << 20);
      expect(() => a.publish('x', [new Uint8Array(8 << 20), new Uint8Array(1)])).toThrow(
        expect.objectContaining({ code: 'THAW_TRANSPORT_TOO_LARGE' }),
      );
      for (const subject of ['x.*', 'a b', '', 'x\r\nPUB y 0'])
        expect(() => a.publish(subject, [])).toThrow(
          expect.objectContaining({ code: 'THAW_TRANSPORT_SUBJECT_INVALID' }),
        );
      expect(() => a.subscribe('a..b', () => undefined)).toThrow(
        expect.objectContaining({ code: 'THAW_TRANSPORT_SUBJECT_INVALID' }),
      );
      await a.flush(); // the connection has not suffered
    });
  });

  it('comes back after the broker was gone, renews subscriptions, and says so', async () => {
    const [c1, c2] = [
      await control('c1', { onError: () => undefined }),
      await control('c2', { onError: () => undefined }),
    ];
    const [b1, b2] = [await bulk('b1'), await bulk('b2')];
    const links: (ControlLink | BulkLink)[] = [c1, c2, b1, b2];
    const seen: LinkStatus[][] = links.map(() => []);
    for (const [i, link] of links.entries()) link.onStatus((s) => seen[i]!.push(s));
    const got: string[] = [];
    c2.subscribe('event', (m) => got.push(text(m)));
    c2.serve('never', () => new Promise<Uint8Array>(() => undefined));
    b2.subscribe('bulk', (_s, p) => got.push(text(p)));
    await c2.flush();
    await b2.flush();
    const inFlight = c1.request('never', bytes('?'), { timeoutMs: 60_000 });
    const lost = expect(inFlight).rejects.toMatchObject({ code: 'THAW_TRANSPORT_UNAVAILABLE' });
    await network.goDown();
    await eventually(() => links.every((link) => link.status === 'disconnected'));
    await lost;
    await expect(c1.request('never', bytes('?'), { timeoutMs: 60_000 })).rejects.toMatchObject({
      code: 'THAW_TRANSPORT_UNAVAILABLE',
    });
    await expect(c1.flush()).rejects.toMatchObject({ code: 'THAW_TRANSPORT_UNAVAILABLE' });
    await expect(b1.flush()).rejects.toMatchObject({ code: 'THAW_TRANSPORT_UNAVAILABLE' });
    c1.publish('event', bytes('while down'));
    b1.publish('bulk', [bytes('while down')]);
    await b1.drained();
    expect(b1.stats().messagesDropped).toBe(1);
    const late: string[] = [];
    b2.subscribe('subscribed.while.down', (_s, p) => late.push(text(p)));
    c2.subscribe('subscribed.while.down.too', (m) => late.push(text(m)));
    await network.comeBack();
    await eventually(() => links.every((link) => link.status === 'reconnected'));
    expect(seen).toEqual(links.map(() => ['disconnected', 'reconnected']));
    await c2.flush();
    c1.publish('event', bytes('control again'));
    b1.publish('bulk', [bytes('bulk again')]);
    b1.publish('subscribed.while.down', [bytes('bulk')]);
    c1.publish('subscribed.while.down.too', bytes('control'));
    await eventually(() => got.length === 2 && late.length === 2);
    expect(got.sort()).toEqual(['bulk again', 'control again']);
    expect(late.sort()).toEqual(['bulk', 'control']);
  });
});

describe('links over NATS', () => {
  it('say why they cannot connect', async () => {
    const broker = await brokers[0]!.start();
    for (const connect of [connectControl, connectBulk]) {
      await expect(connect(broker.url, { name: 'x', token: 'wrong' })).rejects.toMatchObject({
        code: 'THAW_TRANSPORT_REFUSED',
      });
      await expect(connect('http://127.0.0.1:1', { name: 'x' })).rejects.toMatchObject({ code: 'THAW_CONFIG_INVALID' });
      const link = await connect(broker.url.replace('//', `//thaw:${broker.token}@`), { name: 'by url' });
      await link.flush();
      await link.close();
    }
    await broker.close();
    for (const connect of [connectControl, connectBulk])
      await expect(connect(broker.url, { name: 'x', connectTimeoutMs: 200 })).rejects.toMatchObject({
        code: 'THAW_TRANSPORT_UNAVAILABLE',
      });
  });

  it('close the bulk link for good, with everything sent', async () => {
    const broker = await brokers[0]!.start();
    const [a, b] = [
      await connectBulk(broker.url, { name: 'a', token: broker.token! }),
      await connectBulk(broker.url, { name: 'b', token: broker.token! }),
    ];
    let got = 0;
    b.subscribe('x', (_s, p) => (got += p.byteLength));
    await b.flush();
    for (let i = 0; i < 8; i++) a.publish('x', [shared(new Uint8Array(1 << 20))]);
    await a.close();
    await a.close();
    expect(a.status).toBe('closed');
    expect(a.stats().messagesOut).toBe(8);
    await eventually(() => got === 8 << 20);
    a.publish('x', [new Uint8Array(1)]);
    expect(a.stats().messagesDropped).toBe(1);
    await expect(a.flush()).rejects.toMatchObject({ code: 'THAW_TRANSPORT_UNAVAILABLE' });
    await b.close();
    await broker.close();
  });
});

/** Why TLS cannot be tested here; undefined if it can. */
function tlsObstacle(): string | undefined {
  if (missing.some((reason) => reason.startsWith('nats-server '))) return 'nats-server is not installed';
  try {
    execFileSync('openssl', ['version'], { stdio: 'ignore' });
    return undefined;
  } catch {
    return 'openssl is not installed';
  }
}
const obstacle = tlsObstacle();

describe.skipIf(obstacle !== undefined)(`links over TLS${obstacle === undefined ? '' : ` (${obstacle})`}`, () => {
  const folder = mkdtempSync(join(tmpdir(), 'thaw-tls-'));
  const file = (name: string): string => join(folder, name);
  let stop: () => Promise<void>;
  let url: string;

  beforeAll(async () => {
    const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'];
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', file('key.pem')];
    execFileSync('openssl', ['req', '-x509', ...key, '-out', file('cert.pem'), '-days', '2', ...subject], {
      stdio: 'ignore',
    });
    writeFileSync(
      file('nats.conf'),
      `listen: "127.0.0.1:-1"\nports_file_dir: ${JSON.stringify(folder)}\nmax_payload: 8388608\nauthorization { token: "tls-token" }
tls { cert_file: ${JSON.stringify(file('cert.pem'))}, key_file: ${JSON.stringify(file('key.pem'))} }\n`,
    );
    const server = spawn('nats-server', ['-c', file('nats.conf')], { stdio: 'ignore' });
    stop = async () => {
      server.kill();
      await once(server, 'exit');
    };
    const ports = (): string | undefined => readdirSync(folder).find((name) => name.endsWith('.ports'));
    await eventually(() => ports() !== undefined && readFileSync(file(ports()!), 'utf8').endsWith('}'));
    const listening = JSON.parse(readFileSync(file(ports()!), 'utf8')) as { nats?: string[]; tls?: string[] };
    url = (listening.tls ?? listening.nats)![0]!.replace(/^\w+:/, 'tls:');
  });
  afterAll(async () => {
    await stop();
    rmSync(folder, { recursive: true });
    expect(existsSync(folder)).toBe(false);
  });

  it('carry everything, to a broker whose certificate they can check, with a plain token', async () => {
    const options = { token: 'tls-token', tls: { ca: readFileSync(file('cert.pem'), 'utf8') } };
    const control = await connectControl(url, { name: 'c', ...options });
    control.serve('echo', (m) => m);
    await control.flush();
    expect(text(await control.request('echo', bytes('hi'), { timeoutMs: 20_000 }))).toBe('hi');
    const [a, b] = [
      await connectBulk(url, { name: 'a', ...options }),
      await connectBulk(url, { name: 'b', ...options }),
    ];
    const got: string[] = [];
    b.subscribe('x', (_s, p) => got.push(sha256(p)));
    await b.flush();
    const payloads = [0, 1, 65537, 1 << 20].map((size) => pattern(size, size));
    for (const p of payloads) a.publish('x', [shared(p)]);
    await eventually(() => got.length === payloads.length);
    expect(got).toEqual(payloads.map(sha256));
    await Promise.all([a.close(), b.close(), control.close()]);
  });

  it.each([connectControl, connectBulk])('refuse a certificate they cannot check: %o', async (connect) => {
    for (const scheme of ['tls:', 'nats:'])
      await expect(
        connect(url.replace('tls:', scheme), { name: 'x', token: 'tls-token', connectTimeoutMs: 100 }),
      ).rejects.toMatchObject({
        code: 'THAW_TRANSPORT_UNAVAILABLE',
        message: expect.stringContaining('self-signed certificate'),
      });
  });
});
