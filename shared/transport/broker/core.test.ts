import { describe, expect, it } from 'vitest';
import { WireError } from '../wire/index.js';
import { BodyPool } from './body.js';
import { BrokerCore, type CoreOptions, type Peer, type Session } from './core.js';

interface Client {
  readonly session: Session;
  /** Everything sent to it, bodies included. */
  readonly out: string[];
  /** Senders this client would slow down. */
  readonly from: (Peer | undefined)[];
  send(line: string, payload?: string): void;
}

function broker(options: Partial<CoreOptions> = {}): { core: BrokerCore; client: (connect?: object | null) => Client } {
  const core = new BrokerCore({ maxPayloadBytes: 1000, maxSubscriptionsPerClient: 5, info: {}, ...options });
  const client = (connect: object | null = { verbose: false }): Client => {
    const out: string[] = [];
    const from: (Peer | undefined)[] = [];
    const peer: Peer = {
      write: (lines) => out.push(lines),
      deliver: (line, body, skip, sender) => {
        from.push(sender);
        out.push(`${line}${body.bytes.toString('latin1', skip)}`);
      },
      fail: (reason) => out.push(`-ERR '${reason}'`),
    };
    const session = core.open(peer);
    out.length = 0;
    const send = (line: string, payload = ''): void => {
      const into = core.line(session, line);
      if (!into) return;
      Buffer.from(payload, 'latin1').copy(into[0] as Buffer);
      core.payload(session);
    };
    if (connect) send(`CONNECT ${JSON.stringify(connect)}`);
    return { session, out, from, send };
  };
  return { core, client };
}

describe('BrokerCore', () => {
  it('delivers to every matching subscription, with its sid, and names the sender to slow down', () => {
    const { client } = broker();
    const [a, b] = [client(), client()];
    a.send('SUB x.* 1');
    a.send('SUB x.> 2');
    a.send('SUB y 3');
    b.send('PUB x.y 2', 'hi');
    expect(a.out).toEqual(['MSG x.y 1 2\r\nhi', 'MSG x.y 2 2\r\nhi']);
    expect(a.from).toEqual([b.session.peer, b.session.peer]);
  });

  it('sends a client its own messages unless it asked not to', () => {
    const { client } = broker();
    const loud = client({ verbose: false });
    const quiet = client({ verbose: false, echo: false });
    for (const c of [loud, quiet]) {
      c.send('SUB a 1');
      c.send('PUB a 0');
    }
    expect(loud.out).toHaveLength(2);
    expect(quiet.out).toEqual([]);
  });

  it('takes turns in a queue group and passes over the sender without echo', () => {
    const { client } = broker();
    const [a, b, quiet] = [client(), client(), client({ verbose: false, echo: false })];
    a.send('SUB work q 1');
    b.send('SUB work q 1');
    for (let i = 0; i < 10; i++) client().send('PUB work 0');
    expect([a.out.length, b.out.length]).toEqual([5, 5]);
    quiet.send('SUB only q 1');
    a.send('SUB only q 2');
    for (let i = 0; i < 4; i++) quiet.send('PUB only 0');
    expect(quiet.out).toEqual([]);
    expect(a.out).toHaveLength(9);
  });

  it('ends a subscription after its maximum, counted from its beginning', () => {
    const { client } = broker();
    const [a, b] = [client(), client()];
    a.send('SUB x 1');
    b.send('PUB x 0');
    a.send('UNSUB 1 3');
    for (let i = 0; i < 5; i++) b.send('PUB x 0');
    expect(a.out).toHaveLength(3);
    a.send('SUB x 2');
    b.send('PUB x 0');
    a.send('UNSUB 2 1'); // already reached
    b.send('PUB x 0');
    expect(a.out).toHaveLength(4);
    a.send('SUB x 3');
    a.send('UNSUB 3');
    b.send('PUB x 0');
    expect(a.out).toHaveLength(4);
  });

  it('passes headers on, and strips them for a client that knows none', () => {
    const { client } = broker();
    const [modern, old, sender] = [client({ verbose: false, headers: true }), client(), client()];
    modern.send('SUB x 1');
    old.send('SUB x 1');
    const headers = 'NATS/1.0\r\na: b\r\n\r\n';
    sender.send(`HPUB x r ${headers.length} ${headers.length + 4}`, `${headers}body`);
    expect(modern.out).toEqual([`HMSG x 1 r ${headers.length} ${headers.length + 4}\r\n${headers}body`]);
    expect(old.out).toEqual(['MSG x 1 r 4\r\nbody']);
  });

  it('answers a request nobody hears with 503, only to those who asked for it', () => {
    const { client } = broker();
    const asked = client({ verbose: false, headers: true, no_responders: true });
    const plain = client({ verbose: false, headers: true });
    for (const c of [asked, plain]) {
      c.send('SUB _INBOX.1.* 7');
      c.send('PUB nobody _INBOX.1.2 0');
    }
    expect(asked.out).toEqual(['HMSG _INBOX.1.2 7 16 16\r\nNATS/1.0 503\r\n\r\n']);
    expect(plain.out).toEqual([]);
    asked.send('PUB nobody 0'); // no reply subject, no answer
    expect(asked.out).toHaveLength(1);
  });

  it.each([
    ['before CONNECT', null, 'SUB a 1'],
    ['before CONNECT', null, 'PUB a 0'],
    ['before CONNECT', null, 'PING'],
    ['with a wrong token', { auth_token: 'no' }, 'PING'],
    ['with no token', {}, 'PING'],
    ['with a wrong password', { user: 'thaw', pass: 'no' }, 'PING'],
    ['with another user', { user: 'x', pass: 'secret' }, 'PING'],
    ['as system user with the clients token', { user: 'thaw-system', pass: 'secret', auth_token: 'secret' }, 'PING'],
  ])('refuses a client %s', (_name, connect, line) => {
    const { client } = broker({ token: 'secret', systemPassword: 'other' });
    expect(() => client(connect).send(line)).toThrow(new WireError('Authorization Violation'));
  });

  it('accepts the token as token or as password', () => {
    const { client } = broker({ token: 'secret' });
    for (const connect of [{ auth_token: 'secret' }, { user: 'thaw', pass: 'secret' }]) {
      const c = client({ verbose: false, ...connect });
      c.send('PING');
      expect(c.out).toEqual(['PONG\r\n']);
    }
  });

  it('tells the system account, and it alone, who has left', () => {
    const notices: unknown[] = [];
    const { core, client } = broker({ token: 't', systemPassword: 's', onDisconnect: (n) => notices.push(n) });
    const watcher = client({ verbose: false, user: 'thaw-system', pass: 's' });
    const spy = client({ verbose: false, auth_token: 't' });
    watcher.send('SUB $SYS.ACCOUNT.*.DISCONNECT 1');
    spy.send('SUB > 1');
    const gone = client({ verbose: false, auth_token: 't', name: 'trainer-1' });
    core.close(gone.session, 'Client Closed');
    expect(watcher.out).toHaveLength(1);
    expect(JSON.parse(watcher.out[0]!.split('\r\n')[1]!)).toMatchObject({
      client: { name: 'trainer-1' },
      reason: 'Client Closed',
    });
    expect(notices).toEqual([{ clientName: 'trainer-1', reason: 'Client Closed' }]);
    expect(spy.out).toEqual([]);
    core.close(client(null).session, 'never connected');
    expect(notices).toHaveLength(1);
    watcher.send('PUB x 0');
    expect(watcher.out[1]).toContain('Permissions Violation');
  });

  it('refuses what is too large before it takes memory, and sizes that are no sizes', () => {
    const { client } = broker();
    expect(() => client().send('PUB a 1001')).toThrow('Maximum Payload Violation');
    expect(() => client().send('PUB a 9007199254740993')).toThrow(WireError);
    expect(() => client().send('HPUB a 5 4')).toThrow(WireError);
  });

  it('keeps the connection of a client that uses bad subjects or too many subscriptions', () => {
    const { client } = broker();
    const c = client();
    c.send('SUB a..b 1');
    c.send('PUB a..b 0');
    c.send('PUB a.* 0');
    for (let i = 0; i < 6; i++) c.send(`SUB s.${i} ${i}`);
    expect(c.out).toEqual([
      "-ERR 'Invalid Subject'\r\n",
      "-ERR 'Invalid Publish Subject'\r\n",
      "-ERR 'Invalid Publish Subject'\r\n",
      "-ERR 'maximum subscriptions exceeded'\r\n",
    ]);
  });

  it('says +OK to a verbose client', () => {
    const { client } = broker();
    const c = client({});
    c.send('SUB a 1');
    c.send('PUB b 0');
    expect(c.out).toEqual(['+OK\r\n', '+OK\r\n', '+OK\r\n']);
  });

  it('forgets the subscriptions of a closed session', () => {
    const { core, client } = broker();
    const [a, b] = [client(), client()];
    a.send('SUB x 1');
    a.send('SUB x.* 2');
    core.close(a.session, 'gone');
    b.send('PUB x 0');
    b.send('PUB x.y 0');
    expect(a.out).toEqual([]);
    expect(core.stats.messagesOut).toBe(0);
  });
});

describe('BodyPool', () => {
  it('reuses a large body only after its last reference is gone, and only up to its limit', () => {
    const pool = new BodyPool(100_000);
    const body = pool.take(100_000);
    body.retain();
    body.release();
    expect(pool.pooledBytes).toBe(0);
    body.release();
    expect(pool.pooledBytes).toBe(100_000);
    pool.take(100_000).retain();
    expect(pool.pooledBytes).toBe(0);
    const [x, y] = [pool.take(100_000), pool.take(100_000)];
    x.release();
    y.release();
    expect(pool.pooledBytes).toBe(100_000);
    pool.take(10).release();
    expect(pool.pooledBytes).toBe(100_000);
  });
});
