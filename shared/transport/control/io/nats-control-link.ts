/** The control link over NATS, by the official client. */
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, headers, type Msg, type NatsConnection, type Subscription as NatsSubscription } from 'nats';
import { ThawError } from '@thaw/shared/protocol';
import type {
  ConnectOptions,
  ControlHandler,
  ControlLink,
  LinkStatus,
  RequestOptions,
  ServeHandler,
  StopListening,
  SubscribeOptions,
  Subscription,
} from '../../links.js';
import { assertPattern, assertSubject } from '../../subjects/index.js';
import { decodeReplyError, encodeReplyError, errorHeader } from '../reply-error.js';
import { warnOfError } from './warn.js';
import { StatusListeners } from '../status-listeners.js';
import { natsOptions, toThawError } from './connect-options.js';

const retryDelayMs = 100;
/** What an attempt has, however little is left: a handshake on a busy machine takes its time. */
const shortestAttemptMs = 1000;

/**
 * Connects, trying again until `connectTimeoutMs`; afterwards the link reconnects by itself for ever.
 * @throws ThawError THAW_TRANSPORT_UNAVAILABLE, THAW_TRANSPORT_REFUSED (at once), THAW_CONFIG_INVALID (URL)
 */
export async function connectControl(url: string, options: ConnectOptions): Promise<ControlLink> {
  const deadlineMs = performance.now() + (options.connectTimeoutMs ?? 10_000);
  const client = natsOptions(url, options);
  for (;;)
    try {
      const timeout = Math.max(shortestAttemptMs, Math.min(client.timeout!, deadlineMs - performance.now()));
      return new NatsControlLink(await connect({ ...client, timeout }), options);
    } catch (error) {
      const failure = toThawError(error, `"${options.name}" connects to the broker`);
      if (failure.code === 'THAW_TRANSPORT_REFUSED' || performance.now() + retryDelayMs > deadlineMs) throw failure;
      await sleep(retryDelayMs);
    }
}

class NatsControlLink implements ControlLink {
  readonly name: string;
  readonly #connection: NatsConnection;
  readonly #onError: (error: unknown) => void;
  readonly #status: StatusListeners;
  /** Requests to fail when the connection is lost: their answers went with it. */
  readonly #pending = new Set<(error: ThawError) => void>();

  constructor(connection: NatsConnection, options: ConnectOptions) {
    this.name = options.name;
    this.#connection = connection;
    this.#onError = options.onError ?? warnOfError;
    this.#status = new StatusListeners(this.#onError);
    void this.#watch();
    void connection.closed().then((error) => {
      if (error) this.#onError(error);
      this.#down('closed');
    });
  }

  get status(): LinkStatus {
    return this.#status.current;
  }

  onStatus(listener: (status: LinkStatus) => void): StopListening {
    return this.#status.add(listener);
  }

  publish(subject: string, bytes: Uint8Array): void {
    assertSubject(subject);
    this.#assertFits(bytes);
    if (this.#status.isUp) this.#connection.publish(subject, bytes);
  }

  async request(subject: string, bytes: Uint8Array, { timeoutMs }: RequestOptions): Promise<Uint8Array> {
    assertSubject(subject);
    this.#assertFits(bytes);
    if (!this.#status.isUp) throw this.#unavailable(`A request to ${subject}`);
    let fail: (error: ThawError) => void = () => undefined;
    const lost = new Promise<never>((_resolve, reject) => (fail = reject));
    this.#pending.add(fail);
    try {
      const reply = await Promise.race([
        this.#connection.request(subject, bytes, { timeout: Math.max(1, timeoutMs) }),
        lost,
      ]);
      if (reply.headers?.has(errorHeader)) throw decodeReplyError(reply.data);
      return reply.data;
    } catch (error) {
      throw toThawError(error, `A request to ${subject}`);
    } finally {
      this.#pending.delete(fail);
    }
  }

  subscribe(pattern: string, handler: ControlHandler, options: SubscribeOptions = {}): Subscription {
    return this.#subscribe(pattern, options, (message) => handler(message.data, message.subject));
  }

  serve(subject: string, handler: ServeHandler, options: SubscribeOptions = {}): Subscription {
    return this.#subscribe(subject, options, (message) => void this.#answer(message, handler));
  }

  async flush(): Promise<void> {
    if (!this.#status.isUp) throw this.#unavailable('A flush');
    try {
      await this.#connection.flush();
    } catch (error) {
      throw toThawError(error, 'A flush');
    }
  }

  async close(): Promise<void> {
    if (this.#status.current === 'closed') return;
    // What was published just before must still leave, but closing must not wait for a broker that is gone.
    if (this.#status.isUp)
      await Promise.race([this.#connection.flush().catch(() => undefined), sleep(1000, undefined, { ref: false })]);
    await this.#connection.close();
    this.#down('closed');
  }

  #subscribe(pattern: string, options: SubscribeOptions, take: (message: Msg) => void): Subscription {
    assertPattern(pattern);
    if (options.queue !== undefined) assertSubject(options.queue);
    if (this.#status.current === 'closed') throw this.#unavailable(`A subscription to ${pattern}`);
    const subscription: NatsSubscription = this.#connection.subscribe(pattern, {
      ...(options.queue === undefined ? {} : { queue: options.queue }),
      callback: (error, message) => {
        if (error) return this.#onError(toThawError(error, `The subscription to ${pattern}`));
        try {
          take(message);
        } catch (thrown) {
          this.#onError(thrown);
        }
      },
    });
    return { pattern, unsubscribe: () => subscription.unsubscribe() };
  }

  async #answer(message: Msg, handler: ServeHandler): Promise<void> {
    try {
      const reply = await handler(message.data, message.subject);
      this.#assertFits(reply);
      this.#respond(message, reply);
    } catch (error) {
      if (!(error instanceof ThawError)) this.#onError(error);
      const { code, body } = encodeReplyError(error);
      const fields = headers();
      fields.set(errorHeader, code);
      this.#respond(message, body, fields);
    }
  }

  #respond(message: Msg, body: Uint8Array, fields?: ReturnType<typeof headers>): void {
    if (this.#status.isUp) message.respond(body, fields === undefined ? {} : { headers: fields });
  }

  async #watch(): Promise<void> {
    for await (const status of this.#connection.status())
      if (status.type === 'disconnect') this.#down('disconnected');
      else if (status.type === 'reconnect') this.#status.change('reconnected');
      else if (status.type === 'error') this.#onError(toThawError(status.error, `"${this.name}"`));
  }

  #down(status: 'disconnected' | 'closed'): void {
    this.#status.change(status);
    for (const fail of this.#pending) fail(this.#unavailable('A request'));
    this.#pending.clear();
  }

  #unavailable(what: string): ThawError {
    const state = this.#status.current === 'closed' ? 'is closed' : 'is disconnected';
    return new ThawError('THAW_TRANSPORT_UNAVAILABLE', `${what} cannot be sent: the link "${this.name}" ${state}.`);
  }

  #assertFits(bytes: Uint8Array): void {
    const max = this.#connection.info?.max_payload;
    if (max !== undefined && bytes.byteLength > max)
      throw new ThawError(
        'THAW_TRANSPORT_TOO_LARGE',
        `A message has ${bytes.byteLength} bytes; the broker allows ${max}.`,
      );
  }
}
