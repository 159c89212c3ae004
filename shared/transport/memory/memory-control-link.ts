import { ThawError } from '@thaw/shared/protocol';
import type { Timer } from '@thaw/shared/runtime';
import { decodeReplyError, encodeReplyError } from '../control/reply-error.js';
import { warnOfError } from '../control/io/warn.js';
import { StatusListeners } from '../control/status-listeners.js';
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
} from '../links.js';
import { assertPattern, assertSubject } from '../subjects/index.js';
import type { MemoryBroker, MemoryConnection, MemoryMessage, MemorySubscription } from './memory-broker.js';

interface PendingRequest {
  readonly timer: Timer;
  readonly answer: (message: MemoryMessage) => void;
  readonly fail: (error: ThawError) => void;
}

/** The control link of a {@link MemoryBroker}. */
export class MemoryControlLink implements ControlLink, MemoryConnection {
  readonly kind = 'control';
  readonly echo = true;
  readonly name: string;
  readonly subscriptions = new Set<MemorySubscription>();
  readonly #broker: MemoryBroker;
  readonly #onError: (error: unknown) => void;
  readonly #status: StatusListeners;
  readonly #inbox: string;
  readonly #pending = new Map<string, PendingRequest>();
  #requests = 0;

  constructor(broker: MemoryBroker, options: ConnectOptions, inbox: string) {
    this.#broker = broker;
    this.name = options.name;
    this.#onError = options.onError ?? warnOfError;
    this.#status = new StatusListeners(this.#onError);
    this.#inbox = inbox;
    this.subscriptions.add({
      connection: this,
      pattern: `${inbox}.*`,
      take: (message) => this.#pending.get(message.subject)?.answer(message),
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
    if (this.#status.isUp) this.#broker.publish(this, { subject, bytes });
  }

  async request(subject: string, bytes: Uint8Array, { timeoutMs }: RequestOptions): Promise<Uint8Array> {
    assertSubject(subject);
    this.#assertFits(bytes);
    if (!this.#status.isUp) throw this.#unavailable();
    const replyTo = `${this.#inbox}.${this.#requests++}`;
    const { clock, latencyMs } = this.#broker;
    try {
      const reply = await new Promise<MemoryMessage>((resolve, reject) => {
        const late = (): void =>
          reject(new ThawError('THAW_TRANSPORT_TIMEOUT', `A request to ${subject}: no answer in time.`));
        this.#pending.set(replyTo, { timer: clock.setTimer(timeoutMs, late), answer: resolve, fail: reject });
        const receivers = this.#broker.publish(this, { subject, bytes, replyTo });
        const nobody = (): void =>
          reject(new ThawError('THAW_TRANSPORT_NO_RESPONDER', `A request to ${subject}: nobody serves this subject.`));
        if (receivers === 0) clock.setTimer(latencyMs, nobody);
      });
      if (reply.isError) throw decodeReplyError(reply.bytes);
      return reply.bytes;
    } finally {
      this.#pending.get(replyTo)?.timer.cancel();
      this.#pending.delete(replyTo);
    }
  }

  subscribe(pattern: string, handler: ControlHandler, options: SubscribeOptions = {}): Subscription {
    return this.#subscribe(pattern, options, (message) => handler(message.bytes, message.subject));
  }

  serve(subject: string, handler: ServeHandler, options: SubscribeOptions = {}): Subscription {
    return this.#subscribe(subject, options, (message) => void this.#answer(message, handler));
  }

  flush(): Promise<void> {
    // What was sent is already routed; only the connection can be missing.
    return this.#status.isUp ? Promise.resolve() : Promise.reject(this.#unavailable());
  }

  close(): Promise<void> {
    this.#broker.forget(this, 'Client Closed');
    this.#status.change('closed');
    this.#failPending();
    return Promise.resolve();
  }

  connectionLost(): void {
    this.#status.change('disconnected');
    this.#failPending();
  }

  connectionBack(): void {
    this.#status.change('reconnected');
  }

  #subscribe(pattern: string, options: SubscribeOptions, take: (message: MemoryMessage) => void): Subscription {
    assertPattern(pattern);
    if (options.queue !== undefined) assertSubject(options.queue);
    if (this.#status.current === 'closed') throw this.#unavailable();
    const guarded = (message: MemoryMessage): void => {
      try {
        take(message);
      } catch (error) {
        this.#onError(error);
      }
    };
    const subscription: MemorySubscription = { connection: this, pattern, queue: options.queue, take: guarded };
    this.subscriptions.add(subscription);
    this.#broker.subscribe(subscription);
    const unsubscribe = (): void => {
      this.subscriptions.delete(subscription);
      this.#broker.unsubscribe(subscription);
    };
    return { pattern, unsubscribe };
  }

  async #answer(message: MemoryMessage, handler: ServeHandler): Promise<void> {
    const respond = (reply: Omit<MemoryMessage, 'subject'>): void => {
      if (message.replyTo !== undefined && this.#status.isUp)
        this.#broker.publish(this, { subject: message.replyTo, ...reply });
    };
    try {
      const bytes = await handler(message.bytes, message.subject);
      this.#assertFits(bytes);
      respond({ bytes });
    } catch (error) {
      if (!(error instanceof ThawError)) this.#onError(error);
      respond({ bytes: encodeReplyError(error).body, isError: true });
    }
  }

  #failPending(): void {
    for (const { fail } of [...this.#pending.values()]) fail(this.#unavailable());
  }

  #unavailable(): ThawError {
    return new ThawError('THAW_TRANSPORT_UNAVAILABLE', `The link "${this.name}" is ${this.#status.current}.`);
  }

  #assertFits(bytes: Uint8Array): void {
    const max = this.#broker.maxPayloadBytes;
    if (bytes.byteLength > max)
      throw new ThawError(
        'THAW_TRANSPORT_TOO_LARGE',
        `A message has ${bytes.byteLength} bytes; the broker allows ${max}.`,
      );
  }
}
