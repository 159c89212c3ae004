/** One TCP or TLS connection of the bulk client: parts out by writev, payloads read straight into their own buffers. */
import net from 'node:net';
import tls from 'node:tls';
import { FrameReader, WireError, type ServerInfo } from '../../wire/index.js';
import { ClientSession, isCredentialRefusal, type SessionPort } from '../client-session.js';
import type { BulkWorkerSettings } from '../worker-messages.js';

export interface ConnectionEvents {
  message(sid: number, subject: string, payload: Uint8Array): void;
  isSubscribed(sid: number): boolean;
  /** A message has been handed to the system, or lost with the connection. */
  settled(bytes: number, sent: boolean): void;
  error(problem: string): void;
}

/** Why a connection could not be made or has ended. */
export class ConnectionFailure extends Error {
  readonly refused: boolean;
  /** The broker wants TLS and we began without. */
  readonly wantsTls: boolean;

  constructor(problem: string, flags: { refused?: boolean; wantsTls?: boolean } = {}) {
    super(problem);
    this.refused = flags.refused ?? false;
    this.wantsTls = flags.wantsTls ?? false;
  }
}

const crlf = Buffer.from('\r\n');
const maxLineBytes = 64 << 10; // INFO of a large cluster
const pingIntervalMs = 5000;
const maxPingsOut = 2;

export class BulkConnection implements SessionPort {
  /** Resolves when the connection is over, with the reason. */
  readonly closed: Promise<ConnectionFailure>;
  maxPayloadBytes = 1 << 20;
  readonly #settings: BulkWorkerSettings;
  readonly #events: ConnectionEvents;
  readonly #reader: FrameReader;
  readonly #greetings: ((info: ServerInfo) => void)[] = [];
  /** Who waits for the PONGs to come, oldest first; keep-alive pings have none. */
  readonly #pongs: (((reached: boolean) => void) | undefined)[] = [];
  #socket: net.Socket;
  #failure: ConnectionFailure | undefined;
  #corked = false;
  #heard = true;
  #silentTicks = 0;
  #ended = false;
  #finish: (why: ConnectionFailure) => void = () => undefined;

  /** @throws ConnectionFailure */
  static async open(
    settings: BulkWorkerSettings,
    events: ConnectionEvents,
    timeoutMs: number,
  ): Promise<BulkConnection> {
    const connection = new BulkConnection(settings, events);
    const timer = setTimeout(() => connection.#fail(new ConnectionFailure('no answer in time')), timeoutMs);
    try {
      await connection.#handshake();
      return connection;
    } catch (error) {
      connection.#socket.destroy();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  private constructor(settings: BulkWorkerSettings, events: ConnectionEvents) {
    this.#settings = settings;
    this.#events = events;
    this.closed = new Promise((resolve) => (this.#finish = resolve));
    this.#reader = new FrameReader(new ClientSession(this, (sid) => events.isSubscribed(sid)), { maxLineBytes });
    const { host, port } = settings;
    // NATS begins in the clear: INFO comes before TLS. Node wraps no socket into TLS with direct reads: TLS costs a copy.
    this.#socket = net.connect({ host, port, noDelay: true, ...(settings.tls ? {} : { onread: this.#onRead() }) });
    this.#attach(this.#socket);
  }

  /** Sends one message. Parts must not change until `settled`. */
  publish(subject: string, parts: readonly Uint8Array[], bytes: number): void {
    this.#cork();
    this.#socket.write(`PUB ${subject} ${bytes}\r\n`);
    for (const part of parts) if (part.byteLength > 0) this.#socket.write(part);
    this.#socket.write(crlf, (error) => this.#events.settled(bytes, !error));
  }

  send(lines: string): void {
    this.#cork();
    this.#socket.write(lines);
  }

  /** True once the broker has processed everything sent before; false if the connection ended first. */
  flush(): Promise<boolean> {
    if (this.#ended) return Promise.resolve(false);
    return new Promise((resolve) => {
      this.#pongs.push(resolve);
      this.send('PING\r\n');
    });
  }

  end(): void {
    this.#socket.destroy();
  }

  greeted(info: ServerInfo): void {
    this.maxPayloadBytes = info.max_payload ?? this.maxPayloadBytes;
    this.#greetings.shift()?.(info);
  }

  allocate(bytes: number): Uint8Array {
    // Not zeroed, and a buffer of its own: every byte is about to be read into, and the whole is handed on.
    return bytes === 0 ? new Uint8Array(0) : new Uint8Array(Buffer.allocUnsafeSlow(bytes).buffer);
  }

  message(sid: number, subject: string, payload: Uint8Array): void {
    this.#events.message(sid, subject, payload);
  }

  pong(): void {
    this.#pongs.shift()?.(true);
  }

  refused(text: string): void {
    this.#failure ??= new ConnectionFailure(`the broker says: ${text}`, { refused: isCredentialRefusal(text) });
    if (/^permissions violation/i.test(text)) {
      this.#failure = undefined;
      this.#events.error(`The broker says: ${text}`);
    }
  }

  async #handshake(): Promise<void> {
    const over = this.closed.then((why) => Promise.reject(why));
    over.catch(() => undefined);
    const info = await Promise.race([new Promise<ServerInfo>((resolve) => this.#greetings.push(resolve)), over]);
    if (info.tls_required && !this.#settings.tls)
      throw new ConnectionFailure('the broker demands TLS', { wantsTls: true });
    if (this.#settings.tls) await Promise.race([this.#startTls(), over]);
    const { name, token, user, pass, echo } = this.#settings;
    const connect = {
      ...{
        verbose: false,
        pedantic: false,
        lang: 'thaw-bulk',
        version: '1',
        protocol: 1,
        headers: true,
        no_responders: false,
      },
      ...{ echo, name, auth_token: token, user, pass },
    };
    this.send(`CONNECT ${JSON.stringify(connect)}\r\n`);
    if (!(await this.flush())) throw await this.closed;
    this.#keepAlive();
  }

  #startTls(): Promise<void> {
    const plain = this.#socket;
    plain.removeAllListeners('data');
    return new Promise((resolve, reject) => {
      const options = {
        ...this.#settings.tls,
        socket: plain,
        ...(net.isIP(this.#settings.host) ? { host: this.#settings.host } : { servername: this.#settings.host }),
      };
      const secure = tls.connect(options as tls.ConnectionOptions, () => resolve());
      secure.once('error', reject);
      this.#socket = secure;
      this.#attach(secure);
    });
  }

  #attach(socket: net.Socket): void {
    socket.on('error', (error) => (this.#failure ??= new ConnectionFailure(error.message)));
    socket.once('close', () => {
      if (socket === this.#socket) this.#over();
    });
    if (this.#settings.tls) socket.on('data', (chunk: Buffer) => this.#take(() => this.#reader.push(chunk)));
  }

  #onRead(): net.OnReadOpts {
    return {
      buffer: () => this.#reader.buffer(),
      callback: (count, into) => {
        this.#take(() => this.#reader.received(count, into));
        return true;
      },
    };
  }

  #take(read: () => void): void {
    this.#heard = true;
    if (this.#ended) return;
    try {
      read();
    } catch (error) {
      if (!(error instanceof WireError))
        this.#events.error(error instanceof Error ? (error.stack ?? error.message) : String(error));
      this.#fail(new ConnectionFailure(`what the broker sends is not NATS: ${(error as Error).message}`));
    }
  }

  #fail(why: ConnectionFailure): void {
    this.#failure ??= why;
    this.#socket.destroy();
  }

  #over(): void {
    if (this.#ended) return;
    this.#ended = true;
    for (const waiter of this.#pongs.splice(0)) waiter?.(false);
    this.#finish(this.#failure ?? new ConnectionFailure('the connection was closed'));
  }

  #keepAlive(): void {
    const timer = setInterval(() => {
      this.#silentTicks = this.#heard ? 0 : this.#silentTicks + 1;
      this.#heard = false;
      if (this.#silentTicks > maxPingsOut) this.#fail(new ConnectionFailure('the broker does not answer pings'));
      else {
        this.#pongs.push(undefined);
        this.send('PING\r\n');
      }
    }, pingIntervalMs);
    void this.closed.then(() => clearInterval(timer));
  }

  /** Whatever is written in one turn of the loop leaves in one system call. */
  #cork(): void {
    if (this.#corked) return;
    this.#corked = true;
    const socket = this.#socket;
    socket.cork();
    process.nextTick(() => {
      this.#corked = false;
      socket.uncork();
    });
  }
}
