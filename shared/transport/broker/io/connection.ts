/** One client connection of the embedded broker: bytes in, bytes out, back-pressure. */
import type net from 'node:net';
import { FrameReader, WireError } from '../../wire/index.js';
import type { Body } from '../body.js';
import type { BrokerCore, Peer, Session } from '../core.js';
import { readDirectly } from './direct-socket.js';

export interface ConnectionLimits {
  readonly maxControlLineBytes: number;
  /** More bytes than that waiting for one client: whoever sends to it is not read from until half is gone. */
  readonly maxPendingBytes: number;
  /** CONNECT must have come by then. */
  readonly authTimeoutMs: number;
  readonly pingIntervalMs: number;
  readonly maxPingsOut: number;
  /** A client whose queue is full and that takes nothing for so long is closed. */
  readonly stallTimeoutMs: number;
}

const crlf = Buffer.from('\r\n');
const closeGraceMs = 1000;

export class Connection implements Peer {
  readonly session: Session;
  readonly #socket: net.Socket;
  readonly #limits: ConnectionLimits;
  readonly #reader: FrameReader;
  readonly #openedMs: number;
  /** Senders that wait for this client. */
  readonly #waiting = new Set<Connection>();
  /** Clients this sender waits for. */
  readonly #blockedBy = new Set<Connection>();
  #corked = false;
  #closingMs: number | undefined;
  #closeReason = 'Client Closed';
  #pingsOut = 0;
  #lastPingMs: number;
  /** Payload bytes the socket has taken so far, and when that last changed. */
  #takenBytes = 0;
  #seenTakenBytes = 0;
  #progressMs: number;
  /** Time of the last tick. */
  #now: number;

  constructor(core: BrokerCore, accepted: net.Socket, limits: ConnectionLimits, nowMs: number, onClosed: () => void) {
    this.#limits = limits;
    this.#openedMs = this.#lastPingMs = this.#progressMs = this.#now = nowMs;
    this.#reader = new FrameReader(
      { line: (text) => core.line(this.session, text), payload: () => core.payload(this.session) },
      { maxLineBytes: limits.maxControlLineBytes },
    );
    this.#socket = readDirectly(accepted, {
      buffer: () => this.#reader.buffer(),
      received: (count, into) => this.#take(() => this.#reader.received(count, into)),
      push: (bytes) => this.#take(() => this.#reader.push(bytes)),
    });
    this.#socket.setNoDelay(true);
    this.#socket.on('error', (error: Error) => (this.#closeReason = error.message));
    this.#socket.on('drain', () => this.#letGoIfDrained());
    this.#socket.once('close', () => {
      this.#closingMs ??= this.#openedMs;
      for (const sender of this.#waiting) sender.#unblock(this);
      this.#waiting.clear();
      for (const client of this.#blockedBy) client.#waiting.delete(this);
      core.close(this.session, this.#closeReason);
      onClosed();
    });
    this.session = core.open(this);
  }

  write(lines: string): void {
    if (this.#closed) return;
    this.#cork();
    this.#socket.write(lines, 'latin1');
  }

  deliver(line: string, body: Body, skipBytes: number, from: Peer | undefined): void {
    if (this.#closed) return;
    this.#cork();
    const bytes = skipBytes === 0 ? body.bytes : body.bytes.subarray(skipBytes);
    this.#socket.write(line, 'latin1');
    if (bytes.length > 0) this.#socket.write(bytes);
    body.retain();
    this.#socket.write(crlf, () => {
      this.#takenBytes += bytes.length;
      body.release();
      this.#letGoIfDrained();
    });
    if (from instanceof Connection && this.#socket.writableLength > this.#limits.maxPendingBytes) {
      this.#waiting.add(from);
      from.#block(this);
    }
  }

  fail(reason: string): void {
    if (this.#closed) return;
    this.write(`-ERR '${reason}'\r\n`);
    this.#closeReason = reason;
    this.#closingMs = this.#now;
    this.#socket.end();
  }

  /** Closes without ceremony. */
  destroy(reason: string): void {
    this.#closeReason = reason;
    this.#socket.destroy();
  }

  /** Called a few times a second: deadlines, pings, stalled clients. */
  tick(nowMs: number): void {
    this.#now = nowMs;
    if (this.#closingMs !== undefined) {
      if (nowMs - this.#closingMs > closeGraceMs) this.#socket.destroy();
      return;
    }
    if (this.#takenBytes !== this.#seenTakenBytes || this.#waiting.size === 0) {
      if (this.#takenBytes !== this.#seenTakenBytes) this.#pingsOut = 0; // it takes what we send: alive
      this.#seenTakenBytes = this.#takenBytes;
      this.#progressMs = nowMs;
    }
    if (this.session.account === undefined) {
      if (nowMs - this.#openedMs > this.#limits.authTimeoutMs) this.fail('Authentication Timeout');
    } else if (nowMs - this.#progressMs > this.#limits.stallTimeoutMs) this.destroy('Slow Consumer');
    else if (this.#blockedBy.size === 0 && nowMs - this.#lastPingMs >= this.#limits.pingIntervalMs) this.#ping(nowMs);
  }

  #ping(nowMs: number): void {
    if (this.#pingsOut >= this.#limits.maxPingsOut) {
      this.fail('Stale Connection');
      return;
    }
    this.#pingsOut++;
    this.#lastPingMs = nowMs;
    this.write('PING\r\n');
  }

  get #closed(): boolean {
    return this.#closingMs !== undefined || this.#socket.destroyed;
  }

  #take(read: () => void): void {
    if (this.#closingMs !== undefined) return;
    this.#pingsOut = 0;
    try {
      read();
    } catch (error) {
      if (!(error instanceof WireError)) process.emitWarning(error instanceof Error ? error : String(error));
      this.fail(error instanceof WireError ? error.reply : 'Internal Error');
    }
  }

  /** All that is written while one read is handled leaves in one system call. */
  #cork(): void {
    if (this.#corked) return;
    this.#corked = true;
    this.#socket.cork();
    process.nextTick(() => {
      this.#corked = false;
      this.#socket.uncork();
    });
  }

  #block(by: Connection): void {
    if (this.#blockedBy.size === 0) this.#socket.pause();
    this.#blockedBy.add(by);
  }

  #unblock(by: Connection): void {
    if (this.#blockedBy.delete(by) && this.#blockedBy.size === 0 && !this.#socket.destroyed) this.#socket.resume();
  }

  #letGoIfDrained(): void {
    if (this.#waiting.size === 0 || this.#socket.writableLength > this.#limits.maxPendingBytes / 2) return;
    for (const sender of this.#waiting) sender.#unblock(this);
    this.#waiting.clear();
  }
}
