/**
 * The embedded broker's decisions: sessions, accounts, subscriptions, who gets what. No sockets, no clock: it is told
 * lines and payloads, and answers through each session's {@link Peer}.
 */
import { isPattern, isSubject, SubscriptionIndex, type Interest } from '../subjects/index.js';
import { parseServerLine, WireError, type ConnectFields, type ServerLine } from '../wire/index.js';
import { authenticate, type Account, type AuthenticationRules } from './authentication.js';
import { Body, BodyPool } from './body.js';

/** The way back to one client. */
export interface Peer {
  /** Complete protocol lines. */
  write(lines: string): void;
  /**
   * A message: line, body from `skipBytes` on, line end. Must retain the body while it needs it. `from` is whom to slow
   * down when this client does not keep up; undefined for messages of the broker itself.
   */
  deliver(line: string, body: Body, skipBytes: number, from: Peer | undefined): void;
  /** Sends `-ERR`, then closes. */
  fail(reason: string): void;
}

export interface CoreOptions extends AuthenticationRules {
  readonly maxPayloadBytes: number;
  readonly maxSubscriptionsPerClient: number;
  /** The INFO fields beyond those the core knows. */
  readonly info: Readonly<Record<string, unknown>>;
  readonly onDisconnect?: ((notice: { clientName: string; reason: string }) => void) | undefined;
}

interface Subscribed extends Interest {
  readonly session: Session;
  readonly sid: string;
  delivered: number;
  /** Gone after that many deliveries. */
  max: number | undefined;
}

type Publish = Extract<ServerLine, { kind: 'publish' }>;

/** One client connection; opaque to callers. */
export interface Session {
  readonly id: number;
  readonly peer: Peer;
  readonly subscriptions: Map<string, Subscribed>;
  account: Account | undefined;
  connect: ConnectFields | undefined;
  incoming: { readonly publish: Publish; readonly body: Body } | undefined;
}

const noResponders = Buffer.from('NATS/1.0 503\r\n\r\n');
const anonymous: ConnectFields = {
  verbose: false,
  pedantic: false,
  echo: true,
  headers: false,
  noResponders: false,
  name: '',
};

export interface CoreStats {
  messagesIn: number;
  bytesIn: number;
  messagesOut: number;
  bytesOut: number;
}

export class BrokerCore {
  readonly stats: CoreStats = { messagesIn: 0, bytesIn: 0, messagesOut: 0, bytesOut: 0 };
  readonly #options: CoreOptions;
  readonly #pool = new BodyPool();
  readonly #accounts: Readonly<Record<Account, SubscriptionIndex<Subscribed>>> = {
    THAW: new SubscriptionIndex(),
    SYS: new SubscriptionIndex(),
  };
  #nextId = 1;
  /** Turns of queue groups. */
  #turn = 0;

  constructor(options: CoreOptions) {
    this.#options = options;
  }

  open(peer: Peer): Session {
    const session: Session = {
      id: this.#nextId++,
      peer,
      subscriptions: new Map(),
      account: undefined,
      connect: undefined,
      incoming: undefined,
    };
    const { token, maxPayloadBytes, info } = this.#options;
    const fields = {
      ...info,
      proto: 1,
      headers: true,
      max_payload: maxPayloadBytes,
      client_id: session.id,
      auth_required: token !== undefined,
    };
    peer.write(`INFO ${JSON.stringify(fields)}\r\n`);
    return session;
  }

  /** Handles one line; returns where its payload goes. @throws WireError: the client must be failed with its `reply`. */
  line(session: Session, text: string): readonly Uint8Array[] | undefined {
    const line = parseServerLine(text);
    if (line.kind === 'connect') this.#connect(session, line.connect);
    else if (line.kind !== 'empty') this.#requireAccount(session);
    switch (line.kind) {
      case 'publish': {
        if (line.totalBytes > this.#options.maxPayloadBytes) throw new WireError('Maximum Payload Violation');
        const body = this.#pool.take(line.totalBytes);
        session.incoming = { publish: line, body };
        return [body.bytes];
      }
      case 'subscribe':
        this.#subscribe(session, line);
        break;
      case 'unsubscribe':
        this.#unsubscribe(session, line.sid, line.max);
        break;
      case 'ping':
        session.peer.write('PONG\r\n');
        return undefined;
      case 'pong':
      case 'ok':
      case 'empty':
        return undefined;
    }
    this.#acknowledge(session);
    return undefined;
  }

  /** The payload announced by the last line is there. */
  payload(session: Session): void {
    const incoming = session.incoming;
    if (!incoming) return;
    session.incoming = undefined;
    const { publish, body } = incoming;
    this.stats.messagesIn++;
    this.stats.bytesIn += body.bytes.length;
    if (session.account === 'SYS')
      session.peer.write(`-ERR 'Permissions Violation for Publish to "${publish.subject}"'\r\n`);
    else if (!isSubject(publish.subject)) session.peer.write("-ERR 'Invalid Publish Subject'\r\n");
    else {
      const receivers = this.#route('THAW', publish, body, session);
      if (receivers === 0) this.#tellNoResponders(session, publish);
      this.#acknowledge(session);
    }
    body.release();
  }

  /** The connection has ended; tells whoever watches. Call once per session. */
  close(session: Session, reason: string): void {
    for (const subscription of session.subscriptions.values())
      this.#accounts[session.account ?? 'THAW'].delete(subscription);
    session.subscriptions.clear();
    session.incoming?.body.release();
    session.incoming = undefined;
    if (session.account !== 'THAW') return;
    const clientName = session.connect?.name ?? '';
    const advisory = {
      type: 'io.nats.server.advisory.v1.client_disconnect',
      client: { id: session.id, acc: 'THAW', name: clientName },
      reason,
    };
    const body = new Body(Buffer.from(JSON.stringify(advisory)));
    const subject = '$SYS.ACCOUNT.THAW.DISCONNECT';
    this.#route(
      'SYS',
      { kind: 'publish', subject, headerBytes: 0, totalBytes: body.bytes.length, withHeaders: false },
      body,
      undefined,
    );
    this.#options.onDisconnect?.({ clientName, reason });
  }

  #connect(session: Session, connect: ConnectFields): void {
    const account = authenticate(connect, this.#options);
    if (account === undefined) throw new WireError('Authorization Violation');
    // A second CONNECT may change options but not the account: subscriptions live there.
    if (session.account !== undefined && session.account !== account) throw new WireError('Authorization Violation');
    session.account = account;
    session.connect = connect;
  }

  #requireAccount(session: Session): void {
    if (session.account !== undefined) return;
    if (this.#options.token !== undefined) throw new WireError('Authorization Violation');
    session.account = 'THAW';
    session.connect = anonymous;
  }

  #acknowledge(session: Session): void {
    if (session.connect?.verbose) session.peer.write('+OK\r\n');
  }

  #subscribe(session: Session, line: Extract<ServerLine, { kind: 'subscribe' }>): void {
    if (!isPattern(line.pattern)) {
      session.peer.write("-ERR 'Invalid Subject'\r\n");
      return;
    }
    if (session.subscriptions.has(line.sid)) return;
    if (session.subscriptions.size >= this.#options.maxSubscriptionsPerClient) {
      session.peer.write("-ERR 'maximum subscriptions exceeded'\r\n");
      return;
    }
    const subscription = {
      pattern: line.pattern,
      queue: line.queue,
      session,
      sid: line.sid,
      delivered: 0,
      max: undefined,
    };
    session.subscriptions.set(line.sid, subscription);
    this.#accounts[session.account!].add(subscription);
  }

  #unsubscribe(session: Session, sid: string, max: number | undefined): void {
    const subscription = session.subscriptions.get(sid);
    if (!subscription) return;
    if (max !== undefined && max > subscription.delivered) subscription.max = max;
    else this.#remove(subscription);
  }

  #remove(subscription: Subscribed): void {
    subscription.session.subscriptions.delete(subscription.sid);
    this.#accounts[subscription.session.account!].delete(subscription);
  }

  /** Returns how many subscriptions got the message. */
  #route(account: Account, publish: Publish, body: Body, from: Session | undefined): number {
    const { plain, queues } = this.#accounts[account].match(publish.subject);
    const hears = (subscription: Subscribed): boolean => subscription.session !== from || from.connect!.echo;
    let count = 0;
    for (const subscription of plain)
      if (hears(subscription)) {
        this.#deliver(subscription, publish, body, from);
        count++;
      }
    for (const members of queues.values()) {
      const turn = this.#turn++;
      for (let i = 0; i < members.length; i++) {
        const member = members[(turn + i) % members.length]!;
        if (!hears(member)) continue;
        this.#deliver(member, publish, body, from);
        count++;
        break;
      }
    }
    return count;
  }

  #deliver(to: Subscribed, publish: Publish, body: Body, from: Session | undefined): void {
    const { subject, replyTo, headerBytes, totalBytes } = publish;
    const withHeaders = publish.withHeaders && to.session.connect!.headers;
    const skip = withHeaders ? 0 : headerBytes;
    const sizes = withHeaders ? `${headerBytes} ${totalBytes}` : `${totalBytes - headerBytes}`;
    this.stats.messagesOut++;
    this.stats.bytesOut += totalBytes - skip;
    to.session.peer.deliver(
      `${withHeaders ? 'HMSG' : 'MSG'} ${subject} ${to.sid} ${replyTo === undefined ? '' : `${replyTo} `}${sizes}\r\n`,
      body,
      skip,
      from?.peer,
    );
    if (++to.delivered === to.max) this.#remove(to);
  }

  /** A request that nobody heard is answered at once with status 503. */
  #tellNoResponders(session: Session, publish: Publish): void {
    if (publish.replyTo === undefined || !session.connect?.headers || !session.connect.noResponders) return;
    const { plain } = this.#accounts.THAW.match(publish.replyTo);
    const own = plain.find((subscription) => subscription.session === session);
    if (!own) return;
    const length = noResponders.length;
    const status: Publish = {
      kind: 'publish',
      subject: publish.replyTo,
      headerBytes: length,
      totalBytes: length,
      withHeaders: true,
    };
    this.#deliver(own, status, new Body(noResponders), undefined);
  }
}
