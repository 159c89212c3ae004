/** The official client against every broker we may run on: the same behaviour, or this fails. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, headers, type ConnectionOptions, type NatsConnection } from 'nats';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { builtFile } from '@thaw/shared/runtime';
import {
  startBroker,
  startEmbeddedBroker,
  watchDisconnects,
  type BrokerHandle,
  type DisconnectNotice,
} from '@thaw/shared/transport';
import { eventually, installedBrokers, rawClient } from './brokers.js';

const { brokers, missing } = await installedBrokers();
console.log(
  `brokers under test: ${brokers.map((b) => b.label).join(', ')}${missing.length > 0 ? `; not: ${missing.join(', ')}` : ''}`,
);
for (const reason of missing) describe.skip(`nats-server (${reason})`, () => it('is not installed', () => undefined));

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();

describe.each(brokers)('$label', ({ start, label }) => {
  let broker: BrokerHandle;
  const open: NatsConnection[] = [];

  async function client(options: ConnectionOptions = {}, handle = broker): Promise<NatsConnection> {
    const connection = await connect({
      servers: handle.url,
      user: 'thaw',
      pass: handle.token!,
      reconnectTimeWait: 50,
      ...options,
    });
    open.push(connection);
    return connection;
  }

  beforeAll(async () => {
    broker = await start();
  });
  afterEach(async () => {
    for (const connection of open.splice(0)) await connection.close();
  });
  afterAll(() => broker.close());

  it('introduces itself', async () => {
    const { info } = await client();
    expect(info).toMatchObject({ headers: true, max_payload: 8 << 20, proto: 1, auth_required: true });
    expect(info!.version).toBe(broker.version);
    expect(new URL(broker.url).hostname).toBe('127.0.0.1');
  });

  it('delivers in order to every subscriber, empty messages and text beyond ASCII included', async () => {
    const [a, b] = [await client(), await client()];
    const got: string[][] = [[], []];
    for (const [i, c] of [a, b].entries()) {
      c.subscribe('grün.x', { callback: (_e, m) => void got[i]!.push(m.string()) });
      await c.flush();
    }
    const sent = Array.from({ length: 500 }, (_, i) => (i % 7 === 0 ? '' : `${i} ${'é'.repeat(i)}`));
    for (const m of sent) a.publish('grün.x', m);
    await a.flush();
    await b.flush();
    expect(got).toEqual([sent, sent]);
  });

  it('understands wildcards', async () => {
    const c = await client();
    const got: string[] = [];
    for (const pattern of ['a.*.c', 'a.>', '*', 'a.b.c'])
      c.subscribe(pattern, { callback: (_e, m) => void got.push(`${pattern} ${m.subject}`) });
    for (const subject of ['a', 'a.b', 'a.b.c', 'a.x.c', 'a.b.c.d', 'b.b.c']) c.publish(subject);
    await c.flush();
    expect(got.sort()).toEqual(
      ['* a', 'a.> a.b', 'a.*.c a.b.c', 'a.> a.b.c', 'a.b.c a.b.c', 'a.*.c a.x.c', 'a.> a.x.c', 'a.> a.b.c.d'].sort(),
    );
  });

  it('gives a queue group each message once, and plain subscribers every one', async () => {
    const members = [await client(), await client(), await client()];
    const got: string[][] = [[], [], []];
    const plain: string[] = [];
    for (const [i, c] of members.entries()) {
      c.subscribe('work', { queue: 'q', callback: (_e, m) => void got[i]!.push(m.string()) });
      await c.flush();
    }
    const sender = await client();
    sender.subscribe('work', { callback: (_e, m) => void plain.push(m.string()) });
    const sent = Array.from({ length: 300 }, (_, i) => `${i}`);
    for (const m of sent) sender.publish('work', m);
    await sender.flush();
    for (const c of members) await c.flush();
    expect(got.flat().sort()).toEqual([...sent].sort());
    expect(plain).toEqual(sent);
    for (const share of got) expect(share.length).toBeGreaterThan(30);
  });

  it('carries requests and replies', async () => {
    const [server, asker] = [await client(), await client()];
    server.subscribe('echo.*', { queue: 'q', callback: (_e, m) => void m.respond(`${m.subject}:${m.string()}`) });
    await server.flush();
    const replies = await Promise.all(
      Array.from({ length: 50 }, (_, i) => asker.request(`echo.${i}`, `m${i}`, { timeout: 5000 })),
    );
    expect(replies.map((m) => m.string())).toEqual(Array.from({ length: 50 }, (_, i) => `echo.${i}:m${i}`));
  });

  it('says at once that nobody responds', async () => {
    const c = await client();
    await expect(c.request('nobody.home', '?', { timeout: 60_000 })).rejects.toThrow(/no responders/);
    await expect(c.request('nobody.home', '?', { timeout: 60_000, noMux: true })).rejects.toThrow(/no responders/);
  });

  it('carries headers', async () => {
    const c = await client();
    const got = new Promise<[string[], string]>((resolve) =>
      c.subscribe('h', { callback: (_e, m) => resolve([m.headers!.values('k'), m.string()]) }),
    );
    const fields = headers();
    fields.append('k', 'one');
    fields.append('k', 'two');
    c.publish('h', 'body', { headers: fields });
    expect(await got).toEqual([['one', 'two'], 'body']);
  });

  it('ends subscriptions after a maximum', async () => {
    const [a, b] = [await client(), await client()];
    let count = 0;
    a.subscribe('max', { max: 3, callback: () => void count++ });
    const later = a.subscribe('max', { callback: () => void count++ });
    await a.flush();
    for (let i = 0; i < 5; i++) b.publish('max');
    await b.flush();
    await a.flush();
    expect(count).toBe(3 + 5);
    later.unsubscribe();
    await a.flush();
    b.publish('max');
    await b.flush();
    await a.flush();
    expect(count).toBe(8);
  });

  it('spares a client without echo its own messages', async () => {
    const [quiet, other] = [await client({ noEcho: true }), await client()];
    const got: string[] = [];
    quiet.subscribe('x', { callback: (_e, m) => void got.push(m.string()) });
    await quiet.flush();
    quiet.publish('x', 'own');
    other.publish('x', 'other');
    await quiet.flush();
    await other.flush();
    await quiet.flush();
    expect(got).toEqual(['other']);
  });

  it('takes a payload of exactly the maximum and refuses one byte more', async () => {
    const c = await client();
    const got = new Promise<number>((resolve) => c.subscribe('big', { callback: (_e, m) => resolve(m.data.length) }));
    c.publish('big', new Uint8Array(8 << 20));
    expect(await got).toBe(8 << 20);
    const raw = await rawClient(broker.url);
    raw.socket.write(`CONNECT ${JSON.stringify({ verbose: false, user: 'thaw', pass: broker.token })}\r\nPING\r\n`);
    await raw.until('PONG');
    raw.socket.write(`PUB big ${(8 << 20) + 1}\r\n`);
    await raw.until("-ERR 'Maximum Payload Violation'");
    await raw.closed;
  });

  it('lets in only who has the token', async () => {
    await expect(client({ pass: 'wrong' })).rejects.toThrow(/Authorization Violation/);
    await expect(client({ user: 'stranger' })).rejects.toThrow(/Authorization Violation/);
    await expect(connect({ servers: broker.url, reconnect: false })).rejects.toThrow(/Authorization Violation/);
    await expect(client({ token: broker.token!, user: 'thaw' })).resolves.toBeDefined();
    for (const line of ['SUB > 1\r\n', 'PUB a 0\r\n\r\n', 'PING\r\n']) {
      const raw = await rawClient(broker.url);
      raw.socket.write(line);
      await raw.until('-ERR ');
      await raw.closed;
    }
  });

  it('tells the system account who has left, and nobody else', async () => {
    const notices: DisconnectNotice[] = [];
    const stop = await watchDisconnects(broker.url, broker.systemCredentials!, (notice) => notices.push(notice));
    const spy = await client({ name: 'spy' });
    const heard: string[] = [];
    spy.subscribe('$SYS.>', { callback: (_e, m) => void heard.push(m.subject) });
    await spy.flush();
    const leaver = await client({ name: 'leaver' });
    await leaver.close();
    await eventually(() => notices.some((n) => n.clientName === 'leaver'));
    await spy.flush();
    expect(heard).toEqual([]);
    stop();
    const system = await client({ ...broker.systemCredentials, reconnect: false });
    let error = '';
    void (async () => {
      for await (const s of system.status()) if (s.type === 'error') error = s.error.message;
    })();
    system.publish('x');
    await system.flush();
    await eventually(() => error !== '');
    expect(error).toMatch(/Permissions Violation for Publish/);
  });

  it('loses nothing for a subscriber that stops reading for a while', async () => {
    const raw = await rawClient(broker.url);
    raw.socket.removeAllListeners('data');
    raw.socket.write(
      `CONNECT ${JSON.stringify({ verbose: false, user: 'thaw', pass: broker.token })}\r\nSUB slow 1\r\nPING\r\n`,
    );
    await new Promise<void>((resolve) => raw.socket.once('data', () => resolve()));
    raw.socket.pause();
    const sender = await client();
    const count = 100;
    const payload = new Uint8Array(1 << 20).fill(7);
    for (let i = 0; i < count; i++) {
      payload[0] = i;
      sender.publish('slow', payload.slice());
    }
    // The sender goes on with other things meanwhile or is held back; either way nothing may be lost.
    await Promise.race([sender.flush(), new Promise((resolve) => setTimeout(resolve, 300))]);
    const expected = count * ((1 << 20) + 'MSG slow 1 1048576\r\n\r\n'.length);
    let received = 0;
    const all = new Promise<void>((resolve) =>
      raw.socket.on('data', (chunk) => {
        received += chunk.length;
        if (received >= expected) resolve();
      }),
    );
    raw.socket.resume();
    await all;
    await sender.flush();
    raw.socket.destroy();
  });

  it('closes hostile clients and lives on', async () => {
    // nats-server often closes so abruptly that its last word is lost; ours always says why.
    const expectReason = (received: string): void => {
      if (label.startsWith('embedded')) expect(received).toMatch(/-ERR '/);
    };
    const cases: readonly (readonly [string, (write: (data: string) => void) => void])[] = [
      ['garbage', (write) => write('\u0000\u0001\u0002\r\n\r\n')],
      ['a web browser', (write) => write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')],
      ['an endless control line', (write) => write('CONNECT '.padEnd(100_000, 'x'))],
      ['broken JSON', (write) => write('CONNECT {"user":\r\n')],
      ['silence', () => undefined],
      ['a trickle', (write) => write('C')],
    ];
    await Promise.all(
      cases.map(async ([, attack]) => {
        const raw = await rawClient(broker.url);
        attack((data) => raw.socket.write(data, 'latin1'));
        await raw.closed;
        expectReason(raw.text());
      }),
    );
    const inside: readonly string[] = [
      'PUB x -1\r\n',
      'PUB x 99999999999999999999\r\n',
      'HPUB x 9 5\r\n',
      'PUB x 2\r\nabcdef\r\n',
      `SUB ${'s'.repeat(5000)} 1\r\n`,
      'NOPE\r\n',
    ];
    for (const line of inside) {
      const raw = await rawClient(broker.url);
      raw.socket.write(`CONNECT ${JSON.stringify({ verbose: false, user: 'thaw', pass: broker.token })}\r\nPING\r\n`);
      await raw.until('PONG');
      raw.socket.write(line, 'latin1');
      await raw.closed;
      expectReason(raw.text());
    }
    await (await client()).flush();
  });

  it('is found again after a restart, with subscriptions', async () => {
    const first = await start({ token: 'restart-token' });
    const port = Number(new URL(first.url).port);
    const c = await client({ maxReconnectAttempts: -1 }, first);
    const got: string[] = [];
    c.subscribe('x', { callback: (_e, m) => void got.push(m.string()) });
    await c.flush();
    const back = (async () => {
      for await (const s of c.status()) if (s.type === 'reconnect') return;
    })();
    process.kill(first.pid!, 'SIGKILL');
    await first.exited;
    const second = await start({ token: 'restart-token', port });
    await back;
    c.publish('x', 'after');
    await c.flush();
    expect(got).toEqual(['after']);
    await c.close();
    await second.close();
    await second.close(); // closing twice is harmless
  });

  it('refuses a port that is taken', async () => {
    const port = Number(new URL(broker.url).port);
    await expect(start({ port })).rejects.toMatchObject({ code: 'THAW_BROKER_UNUSABLE' });
  });

  it('does not outlive a starter that is killed, and leaves no file with its token', async () => {
    const storeDir = mkdtempSync(join(tmpdir(), 'thaw-broker-'));
    const entry = builtFile(new URL('../../shared/transport/index.ts', import.meta.url).href, './index.js');
    const prefer = label.startsWith('embedded') ? 'embedded' : 'nats-server';
    const script = `import { startBroker } from ${JSON.stringify(entry.href)};
      const b = await startBroker(${JSON.stringify({ prefer, storeDir })}); console.log(b.pid); setInterval(() => {}, 1000);`;
    const starter = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [line] = (await once(starter.stdout, 'data')) as [Buffer];
    const pid = Number(text(line));
    expect(process.kill(pid, 0)).toBe(true);
    starter.kill('SIGKILL');
    await eventually(() => {
      try {
        return !process.kill(pid, 0);
      } catch {
        return true;
      }
    });
    await eventually(() => readdirSync(storeDir).length === 0);
    rmdirSync(storeDir);
  });
});

describe('embedded broker', () => {
  it('holds the publisher back while a subscriber is full, and lets it go on afterwards', async () => {
    const broker = await startEmbeddedBroker({ limits: { maxPendingBytes: 1 << 20 } });
    const raw = await rawClient(broker.url);
    raw.socket.write('CONNECT {"verbose":false}\r\nSUB slow 1\r\nPING\r\n');
    await raw.until('PONG');
    raw.socket.removeAllListeners('data');
    raw.socket.pause();
    const sender = await connect({ servers: broker.url });
    const count = 64;
    for (let i = 0; i < count; i++) sender.publish('slow', new Uint8Array(1 << 20));
    let flushed = false;
    const flush = sender.flush().then(() => (flushed = true));
    // The broker takes what fits in the sockets' buffers and its limit, then stops reading.
    let seen = -1;
    for (let now = broker.stats().messagesIn; now !== seen; now = broker.stats().messagesIn) {
      seen = now;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    expect(seen).toBeLessThan(count);
    expect(flushed).toBe(false);
    let received = 0;
    raw.socket.on('data', (chunk) => (received += chunk.length));
    raw.socket.resume();
    await flush;
    await eventually(() => received >= count << 20);
    expect(broker.stats()).toMatchObject({ messagesIn: count, messagesOut: count });
    await sender.close();
    raw.socket.destroy();
    await broker.close();
  });

  it('closes a full subscriber that takes nothing any more, so that the others can go on', async () => {
    const left: DisconnectNotice[] = [];
    const broker = await startEmbeddedBroker({
      limits: { maxPendingBytes: 1 << 20, stallTimeoutMs: 300 },
      onDisconnect: (n) => left.push(n),
    });
    const raw = await rawClient(broker.url);
    raw.socket.write('CONNECT {"verbose":false,"name":"stopped"}\r\nSUB slow 1\r\nPING\r\n');
    await raw.until('PONG');
    raw.socket.pause();
    const sender = await connect({ servers: broker.url });
    for (let i = 0; i < 64; i++) sender.publish('slow', new Uint8Array(1 << 20));
    await sender.flush();
    expect(left).toEqual([{ clientName: 'stopped', reason: 'Slow Consumer' }]);
    await sender.close();
    raw.socket.destroy();
    await broker.close();
  });

  it('notices a client that no longer answers', async () => {
    const left: DisconnectNotice[] = [];
    const broker = await startEmbeddedBroker({ limits: { pingIntervalMs: 500 }, onDisconnect: (n) => left.push(n) });
    const dead = await rawClient(broker.url);
    dead.socket.write('CONNECT {"verbose":false,"name":"dead"}\r\nPING\r\n');
    const alive = await connect({ servers: broker.url, name: 'alive' });
    await dead.closed;
    expect(dead.text()).toContain("-ERR 'Stale Connection'");
    await alive.flush();
    expect(left.map((n) => n.clientName)).toEqual(['dead']);
    await alive.close();
    await broker.close();
  });

  it('refuses connections beyond its limit', async () => {
    const broker = await startEmbeddedBroker({ maxConnections: 1 });
    const first = await connect({ servers: broker.url });
    const second = await rawClient(broker.url);
    await second.until("-ERR 'maximum connections exceeded'");
    await second.closed;
    await first.flush();
    await first.close();
    await broker.close();
  });
});

describe('startBroker', () => {
  it.each(['0.0.0.0', '192.168.1.1', '::', 'example.org'])('refuses to listen on %s', async (host) => {
    await expect(startBroker({ prefer: 'embedded', host })).rejects.toMatchObject({ code: 'THAW_BIND_REFUSED' });
    await expect(startEmbeddedBroker({ host })).rejects.toMatchObject({ code: 'THAW_BIND_REFUSED' });
  });

  it('falls back to the embedded broker only if nats-server was not demanded', async () => {
    const natsServerPath = '/nonexistent/nats-server';
    await expect(startBroker({ prefer: 'nats-server', natsServerPath })).rejects.toMatchObject({
      code: 'THAW_BROKER_UNUSABLE',
    });
    const broker = await startBroker({ prefer: 'auto', natsServerPath });
    expect(broker).toMatchObject({ kind: 'embedded', note: expect.stringContaining('not installed') });
    await broker.close();
    await broker.exited;
  });

  it('uses an external broker, and says what is wrong with one it cannot use', async () => {
    const broker = await startEmbeddedBroker({ token: 'abc' });
    const external = await startBroker({ prefer: 'auto', url: broker.url, token: 'abc' });
    expect(external).toMatchObject({ kind: 'external', url: broker.url, version: '2.9.0' });
    await external.close();
    await expect(startBroker({ prefer: 'auto', url: broker.url, token: 'no' })).rejects.toMatchObject({
      code: 'THAW_TRANSPORT_REFUSED',
    });
    await broker.close();
    await expect(startBroker({ prefer: 'auto', url: broker.url, token: 'abc' })).rejects.toMatchObject({
      code: 'THAW_TRANSPORT_UNAVAILABLE',
    });
    await expect(startBroker({ prefer: 'auto', url: 'http://x' })).rejects.toMatchObject({
      code: 'THAW_CONFIG_INVALID',
    });
  });

  it('refuses a token that would not survive a configuration file', async () => {
    await expect(startBroker({ prefer: 'auto', token: '$2a$x y"' })).rejects.toMatchObject({
      code: 'THAW_CONFIG_INVALID',
    });
  });
});
