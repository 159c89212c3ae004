import { ThawError } from '@thaw/shared/protocol';
import { SendWindow } from '../bulk/send-window.js';
import { warnOfError } from '../control/io/warn.js';
import { StatusListeners } from '../control/status-listeners.js';
import type {
  BulkHandler,
  BulkLink,
  BulkOptions,
  BulkStats,
  LinkStatus,
  StopListening,
  Subscription,
} from '../links.js';
import { assertPattern, assertSubject } from '../subjects/index.js';
import type { MemoryBroker, MemoryConnection, MemorySubscription } from './memory-broker.js';

const defaultWindowBytes = 4 << 20;

/** The bulk link of a {@link MemoryBroker}. Messages leave the window after one latency. */
export class MemoryBulkLink implements BulkLink, MemoryConnection {
  readonly kind = 'bulk';
  readonly name: string;
  readonly echo: boolean;
  readonly subscriptions = new Set<MemorySubscription>();
  readonly #broker: MemoryBroker;
  readonly #onError: (error: unknown) => void;
  readonly #status: StatusListeners;
  readonly #window: SendWindow;
  readonly #stats = { bytesOut: 0, bytesIn: 0, messagesOut: 0, messagesIn: 0, messagesDropped: 0 };

  constructor(broker: MemoryBroker, options: BulkOptions) {
    this.#broker = broker;
    this.name = options.name;
    this.echo = options.echo ?? false;
    this.#onError = options.onError ?? warnOfError;
    this.#status = new StatusListeners(this.#onError);
    this.#window = new SendWindow(options.windowBytes ?? defaultWindowBytes);
  }

  get status(): LinkStatus {
    return this.#status.current;
  }

  get maxPayloadBytes(): number {
    return this.#broker.maxPayloadBytes;
  }

  onStatus(listener: (status: LinkStatus) => void): StopListening {
    return this.#status.add(listener);
  }

  publish(subject: string, parts: readonly Uint8Array[]): void {
    assertSubject(subject);
    const bytes = joined(parts);
    const size = bytes.byteLength;
    if (size > this.maxPayloadBytes)
      throw new ThawError(
        'THAW_TRANSPORT_TOO_LARGE',
        `A bulk message has ${size} bytes; the broker allows ${this.maxPayloadBytes}.`,
      );
    if (!this.#status.isUp) {
      this.#stats.messagesDropped++;
      return;
    }
    this.#stats.messagesOut++;
    this.#stats.bytesOut += size;
    this.#window.add(size);
    this.#broker.publish(this, { subject, bytes });
    this.#broker.clock.setTimer(this.#broker.latencyMs, () => this.#window.settle(size));
  }

  subscribe(pattern: string, handler: BulkHandler): Subscription {
    assertPattern(pattern);
    const subscription: MemorySubscription = {
      connection: this,
      pattern,
      take: ({ subject, bytes }) => {
        this.#stats.messagesIn++;
        this.#stats.bytesIn += bytes.byteLength;
        try {
          handler(subject, bytes);
        } catch (error) {
          this.#onError(error);
        }
      },
    };
    this.subscriptions.add(subscription);
    this.#broker.subscribe(subscription);
    const unsubscribe = (): void => {
      this.subscriptions.delete(subscription);
      this.#broker.unsubscribe(subscription);
    };
    return { pattern, unsubscribe };
  }

  drained(): Promise<void> {
    return this.#window.drained();
  }

  flush(): Promise<void> {
    if (this.#status.isUp) return Promise.resolve();
    return Promise.reject(
      new ThawError('THAW_TRANSPORT_UNAVAILABLE', `The bulk link "${this.name}" is ${this.#status.current}.`),
    );
  }

  stats(): BulkStats {
    return { ...this.#stats };
  }

  close(): Promise<void> {
    this.#broker.forget(this, 'Client Closed');
    this.#status.change('closed');
    return Promise.resolve();
  }

  connectionLost(): void {
    this.#status.change('disconnected');
  }

  connectionBack(): void {
    this.#status.change('reconnected');
  }
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.byteLength;
  }
  return bytes;
}
