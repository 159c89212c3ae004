/** The bulk client in its worker thread: one connection at a time, for ever; subscriptions outlive connections. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { BulkMessage, BulkWorkerSettings, FromWorker, ToWorker } from '../worker-messages.js';
import { BulkConnection, ConnectionFailure, type ConnectionEvents } from './connection.js';

const firstRetryMs = 50;
const longestRetryMs = 1000;
const attemptTimeoutMs = 5000;
const closeTimeoutMs = 1000;

export class BulkClient implements ConnectionEvents {
  #settings: BulkWorkerSettings;
  readonly #post: (message: FromWorker, transfer: readonly ArrayBuffer[]) => void;
  readonly #subscriptions = new Map<number, string>();
  #connection: BulkConnection | undefined;
  #closing = false;
  readonly #stop = new AbortController();
  #received: BulkMessage[] = [];
  #settledCounts = { sent: 0, sentBytes: 0, dropped: 0, droppedBytes: 0 };
  #reportDue = false;

  constructor(settings: BulkWorkerSettings, post: (message: FromWorker, transfer: readonly ArrayBuffer[]) => void) {
    this.#settings = settings;
    this.#post = post;
  }

  /** Returns when the link has been closed or could never connect. */
  async run(): Promise<void> {
    const deadlineMs = performance.now() + this.#settings.connectTimeoutMs;
    let everConnected = false;
    let retryMs = firstRetryMs;
    while (!this.#closing)
      try {
        const connection = await BulkConnection.open(this.#settings, this, attemptTimeoutMs);
        retryMs = firstRetryMs;
        await this.#serve(connection, everConnected);
        everConnected = true;
      } catch (error) {
        const failure = error instanceof ConnectionFailure ? error : new ConnectionFailure((error as Error).message);
        if (failure.wantsTls && !this.#settings.tls) {
          this.#settings = { ...this.#settings, tls: {} };
          continue;
        }
        if (!everConnected && (failure.refused || performance.now() + retryMs > deadlineMs)) {
          this.#post({ type: 'failed', refused: failure.refused, problem: failure.message }, []);
          return;
        }
        // Links that lost one broker together must not return in one moment.
        await sleep(retryMs * (0.75 + Math.random() / 2), undefined, { signal: this.#stop.signal }).catch(
          () => undefined,
        );
        retryMs = Math.min(longestRetryMs, retryMs * 2);
      }
  }

  take(message: ToWorker): void {
    const connection = this.#connection;
    switch (message.type) {
      case 'publish':
        if (connection) connection.publish(message.subject, message.parts, message.bytes);
        else this.settled(message.bytes, false);
        return;
      case 'subscribe':
        this.#subscriptions.set(message.sid, message.pattern);
        connection?.send(`SUB ${message.pattern} ${message.sid}\r\n`);
        return;
      case 'unsubscribe':
        this.#subscriptions.delete(message.sid);
        connection?.send(`UNSUB ${message.sid}\r\n`);
        return;
      case 'flush':
        void (connection?.flush() ?? Promise.resolve(false)).then((reached) => {
          this.#report();
          this.#post({ type: 'flushed', id: message.id, reached }, []);
        });
        return;
      case 'close':
        void this.#close();
        return;
    }
  }

  isSubscribed(sid: number): boolean {
    return this.#subscriptions.has(sid);
  }

  message(sid: number, subject: string, payload: Uint8Array): void {
    this.#received.push({ sid, subject, payload });
    this.#reportSoon();
  }

  settled(bytes: number, sent: boolean): void {
    const counts = this.#settledCounts;
    if (sent) {
      counts.sent++;
      counts.sentBytes += bytes;
    } else {
      counts.dropped++;
      counts.droppedBytes += bytes;
    }
    this.#reportSoon();
  }

  error(problem: string): void {
    this.#post({ type: 'error', problem }, []);
  }

  async #serve(connection: BulkConnection, again: boolean): Promise<void> {
    for (const [sid, pattern] of this.#subscriptions) connection.send(`SUB ${pattern} ${sid}\r\n`);
    this.#connection = connection;
    // Whoever hears of the connection may count on every subscription being in force.
    if (await connection.flush())
      this.#post(
        { type: 'status', status: again ? 'reconnected' : 'connected', maxPayloadBytes: connection.maxPayloadBytes },
        [],
      );
    const why = await connection.closed;
    this.#connection = undefined;
    this.#report();
    if (this.#closing) return;
    this.#post({ type: 'status', status: 'disconnected', maxPayloadBytes: connection.maxPayloadBytes }, []);
    if (why.refused) this.error(why.message);
  }

  async #close(): Promise<void> {
    this.#closing = true;
    this.#stop.abort();
    const connection = this.#connection;
    if (connection) await Promise.race([connection.flush(), sleep(closeTimeoutMs, undefined, { ref: false })]);
    this.#report();
    connection?.end();
    this.#post({ type: 'status', status: 'closed', maxPayloadBytes: 0 }, []);
  }

  /** What one read or one turn brings goes to the owner in one message. */
  #reportSoon(): void {
    if (this.#reportDue) return;
    this.#reportDue = true;
    process.nextTick(() => this.#report());
  }

  #report(): void {
    this.#reportDue = false;
    const messages = this.#received;
    if (messages.length > 0) {
      this.#received = [];
      this.#post(
        { type: 'messages', messages },
        messages.map(({ payload }) => payload.buffer as ArrayBuffer),
      );
    }
    const counts = this.#settledCounts;
    if (counts.sent + counts.dropped > 0) {
      this.#settledCounts = { sent: 0, sentBytes: 0, dropped: 0, droppedBytes: 0 };
      this.#post({ type: 'settled', ...counts }, []);
    }
  }
}
