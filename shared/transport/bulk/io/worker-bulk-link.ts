/** The owner's end of a bulk link: hands parts to the worker thread, gives payloads to handlers, keeps the window. */
import { Worker } from 'node:worker_threads';
import { ThawError } from '@thaw/shared/protocol';
import { builtFile } from '@thaw/shared/runtime';
import { credentialsOf, natsCredentials, parseUrl, tlsOf } from '../../control/io/connect-options.js';
import { warnOfError } from '../../control/io/warn.js';
import { StatusListeners } from '../../control/status-listeners.js';
import type {
  BulkHandler,
  BulkLink,
  BulkOptions,
  BulkStats,
  LinkStatus,
  StopListening,
  Subscription,
} from '../../links.js';
import { assertPattern, assertSubject } from '../../subjects/index.js';
import { SendWindow } from '../send-window.js';
import type { BulkWorkerSettings, FromWorker, ToWorker } from '../worker-messages.js';

const defaultWindowBytes = 4 << 20;
const defaultPort = 4222;
const exitTimeoutMs = 3000;

/**
 * Connects, trying again until `connectTimeoutMs`; afterwards the link reconnects by itself for ever.
 * @throws ThawError THAW_TRANSPORT_UNAVAILABLE, THAW_TRANSPORT_REFUSED (at once), THAW_CONFIG_INVALID (URL)
 */
export async function connectBulk(url: string, options: BulkOptions): Promise<BulkLink> {
  const { hostname, port } = parseUrl(url);
  const tls = tlsOf(url, options);
  const settings: BulkWorkerSettings = {
    name: options.name,
    host: hostname.replace(/^\[(.*)\]$/, '$1'),
    port: port === '' ? defaultPort : Number(port),
    ...(tls === undefined ? {} : { tls: { ...tls } }),
    ...natsCredentials({ ...credentialsOf(url), ...options }),
    echo: options.echo ?? false,
    connectTimeoutMs: options.connectTimeoutMs ?? 10_000,
  };
  const worker = new Worker(builtFile(import.meta.url, './worker.js'), { workerData: settings, execArgv: [] });
  const link = new WorkerBulkLink(worker, options);
  await link.ready;
  return link;
}

class WorkerBulkLink implements BulkLink {
  readonly name: string;
  /** Settles with the first connection. */
  readonly ready: Promise<void>;
  maxPayloadBytes = 0;
  readonly #worker: Worker;
  readonly #onError: (error: unknown) => void;
  readonly #status: StatusListeners;
  readonly #window: SendWindow;
  readonly #handlers = new Map<number, BulkHandler>();
  readonly #flushes = new Map<number, (reached: boolean) => void>();
  readonly #stats = { bytesOut: 0, bytesIn: 0, messagesOut: 0, messagesIn: 0, messagesDropped: 0 };
  readonly #exited: Promise<void>;
  #nextId = 1;

  constructor(worker: Worker, options: BulkOptions) {
    this.name = options.name;
    this.#worker = worker;
    this.#onError = options.onError ?? warnOfError;
    this.#status = new StatusListeners(this.#onError);
    this.#window = new SendWindow(options.windowBytes ?? defaultWindowBytes);
    this.#exited = new Promise((resolve) => worker.once('exit', () => resolve()));
    this.ready = new Promise((resolve, reject) => {
      worker.on('message', (message: FromWorker) => {
        if (message.type === 'status' && message.status === 'connected') {
          this.maxPayloadBytes = message.maxPayloadBytes;
          resolve();
        } else if (message.type === 'failed') {
          const code = message.refused ? 'THAW_TRANSPORT_REFUSED' : 'THAW_TRANSPORT_UNAVAILABLE';
          reject(new ThawError(code, `"${this.name}" connects to the broker: ${message.problem}.`));
        } else this.#take(message);
      });
      worker.on('error', (error) => {
        reject(error);
        this.#onError(error);
      });
      worker.once('exit', () => {
        reject(
          new ThawError('THAW_TRANSPORT_UNAVAILABLE', `The bulk link "${this.name}" ended before it was connected.`),
        );
        this.#end();
      });
    });
  }

  get status(): LinkStatus {
    return this.#status.current;
  }

  onStatus(listener: (status: LinkStatus) => void): StopListening {
    return this.#status.add(listener);
  }

  publish(subject: string, parts: readonly Uint8Array[]): void {
    assertSubject(subject);
    let bytes = 0;
    for (const part of parts) bytes += part.byteLength;
    if (bytes > this.maxPayloadBytes)
      throw new ThawError(
        'THAW_TRANSPORT_TOO_LARGE',
        `A bulk message has ${bytes} bytes; the broker allows ${this.maxPayloadBytes}.`,
      );
    if (!this.#status.isUp) {
      this.#stats.messagesDropped++;
      return;
    }
    // Shared memory goes by reference. Anything else is copied first: posting a view would copy all of its buffer.
    const transfer: ArrayBuffer[] = [];
    const sendable = parts.map((part) => {
      if (part.buffer instanceof SharedArrayBuffer) return part;
      const copy = new Uint8Array(part);
      transfer.push(copy.buffer);
      return copy;
    });
    this.#window.add(bytes);
    this.#tell({ type: 'publish', subject, parts: sendable, bytes }, transfer);
  }

  subscribe(pattern: string, handler: BulkHandler): Subscription {
    assertPattern(pattern);
    const sid = this.#nextId++;
    this.#handlers.set(sid, handler);
    this.#tell({ type: 'subscribe', sid, pattern });
    const unsubscribe = (): void => {
      if (this.#handlers.delete(sid)) this.#tell({ type: 'unsubscribe', sid });
    };
    return { pattern, unsubscribe };
  }

  drained(): Promise<void> {
    return this.#window.drained();
  }

  async flush(): Promise<void> {
    const id = this.#nextId++;
    const reached =
      this.#status.isUp &&
      (await new Promise<boolean>((resolve) => {
        this.#flushes.set(id, resolve);
        this.#tell({ type: 'flush', id });
      }));
    if (!reached)
      throw new ThawError(
        'THAW_TRANSPORT_UNAVAILABLE',
        `The bulk link "${this.name}" was disconnected before a flush was answered.`,
      );
  }

  stats(): BulkStats {
    return { ...this.#stats };
  }

  async close(): Promise<void> {
    if (this.#status.current !== 'closed') this.#tell({ type: 'close' });
    const timer = setTimeout(() => void this.#worker.terminate(), exitTimeoutMs);
    await this.#exited;
    clearTimeout(timer);
  }

  #tell(message: ToWorker, transfer: readonly ArrayBuffer[] = []): void {
    if (this.#status.current !== 'closed') this.#worker.postMessage(message, [...transfer]);
  }

  #take(message: FromWorker): void {
    switch (message.type) {
      case 'messages':
        for (const { sid, subject, payload } of message.messages) {
          const handler = this.#handlers.get(sid);
          if (!handler) continue;
          this.#stats.messagesIn++;
          this.#stats.bytesIn += payload.byteLength;
          try {
            handler(subject, payload);
          } catch (error) {
            this.#onError(error);
          }
        }
        return;
      case 'settled':
        this.#stats.messagesOut += message.sent;
        this.#stats.bytesOut += message.sentBytes;
        this.#stats.messagesDropped += message.dropped;
        this.#window.settle(message.sentBytes + message.droppedBytes);
        return;
      case 'flushed':
        this.#flushes.get(message.id)?.(message.reached);
        this.#flushes.delete(message.id);
        return;
      case 'status':
        if (message.status === 'reconnected') this.maxPayloadBytes = message.maxPayloadBytes;
        if (message.status !== 'closed') this.#status.change(message.status);
        return;
      case 'error':
        this.#onError(new ThawError('THAW_TRANSPORT_UNAVAILABLE', `The bulk link "${this.name}": ${message.problem}`));
        return;
      case 'failed':
        return;
    }
  }

  #end(): void {
    this.#status.change('closed');
    for (const done of this.#flushes.values()) done(false);
    this.#flushes.clear();
    this.#window.clear();
  }
}
