/**
 * Broker and links in one process, for simulation and unit tests: deterministic, on a given clock, with faults on
 * demand. Order per sender and receiver is kept, delivery is at most once unless a fault doubles it, as over NATS.
 */
import { ThawError } from '@thaw/shared/protocol';
import type { Clock } from '@thaw/shared/runtime';
import type { DisconnectNotice } from '../broker/handle.js';
import type { BulkLink, BulkOptions, ConnectOptions, ControlLink, StopListening } from '../links.js';
import { SubscriptionIndex, type Interest } from '../subjects/index.js';
import type { Faults } from './faults.js';
import { MemoryBulkLink } from './memory-bulk-link.js';
import { MemoryControlLink } from './memory-control-link.js';

export interface MemoryBrokerOptions {
  /** Time from sender to receiver. Default 0: the next turn of the clock. */
  readonly latencyMs?: number;
  readonly faults?: Faults;
  /** Default 8 MiB, as our real brokers. */
  readonly maxPayloadBytes?: number;
}

export interface MemoryMessage {
  readonly subject: string;
  readonly bytes: Uint8Array;
  readonly replyTo?: string;
  /** The bytes are an error body. */
  readonly isError?: boolean;
}

export interface MemorySubscription extends Interest {
  readonly connection: MemoryConnection;
  readonly take: (message: MemoryMessage) => void;
}

/** What the broker needs to know of a link. */
export interface MemoryConnection {
  readonly name: string;
  readonly kind: 'control' | 'bulk';
  readonly echo: boolean;
  readonly subscriptions: Set<MemorySubscription>;
  connectionLost(): void;
  connectionBack(): void;
}

interface State {
  up: boolean;
  paused: boolean;
  /** Counts connections: what was on its way to an earlier one is lost. */
  epoch: number;
  /** Arrived while paused. */
  readonly held: (() => void)[];
  readonly channels: Map<MemoryConnection, Channel>;
}

/** From one sender to one receiver: first in, first out, whatever the delays. */
interface Channel {
  /** Nothing more may arrive before. */
  notBeforeMs: number;
  readonly queue: (() => void)[];
}

export class MemoryBroker {
  readonly maxPayloadBytes: number;
  readonly latencyMs: number;
  readonly clock: Clock;
  /** May be replaced at any time. */
  faults: Faults;
  readonly #states = new Map<MemoryConnection, State>();
  readonly #index = new SubscriptionIndex<MemorySubscription>();
  readonly #watchers = new Set<(notice: DisconnectNotice) => void>();
  #running = true;
  #passages = 0;
  #turn = 0;
  #inboxes = 0;

  constructor(clock: Clock, options: MemoryBrokerOptions = {}) {
    this.clock = clock;
    this.latencyMs = options.latencyMs ?? 0;
    this.faults = options.faults ?? (() => ({}));
    this.maxPayloadBytes = options.maxPayloadBytes ?? 8 << 20;
  }

  /** @throws ThawError THAW_TRANSPORT_UNAVAILABLE while stopped */
  connectControl(options: ConnectOptions): ControlLink {
    return this.#open(new MemoryControlLink(this, options, `_INBOX.${this.#inboxes++}`));
  }

  /** @throws ThawError THAW_TRANSPORT_UNAVAILABLE while stopped */
  connectBulk(options: BulkOptions): BulkLink {
    return this.#open(new MemoryBulkLink(this, options));
  }

  /** Hears of every ended connection, one latency later. */
  onDisconnect(listener: (notice: DisconnectNotice) => void): StopListening {
    this.#watchers.add(listener);
    return () => void this.#watchers.delete(listener);
  }

  /** Cuts every link of that name; they stay disconnected until `reconnect`. What is on its way to them is lost. */
  disconnect(name: string): void {
    for (const connection of this.#named(name)) this.#lose(connection, 'Connection Lost');
  }

  /** Brings the links of that name back, with their subscriptions. */
  reconnect(name: string): void {
    if (this.#running) for (const connection of this.#named(name)) this.#restore(connection);
  }

  /** SIGKILL: the links of that name never do or hear anything again; the others are told. */
  kill(name: string): void {
    for (const connection of this.#named(name)) this.forget(connection, 'Client Closed');
  }

  /** SIGSTOP: the links of that name hear nothing until `resume`; the broker keeps it for them. */
  pause(name: string): void {
    for (const connection of this.#named(name)) this.#states.get(connection)!.paused = true;
  }

  /** SIGCONT. */
  resume(name: string): void {
    for (const connection of this.#named(name)) {
      const state = this.#states.get(connection)!;
      state.paused = false;
      for (const deliver of state.held.splice(0)) deliver();
    }
  }

  /** The broker dies: everything on its way is lost, every link is disconnected. */
  stop(): void {
    this.#running = false;
    for (const connection of [...this.#states.keys()]) this.#lose(connection, undefined);
  }

  /** The broker is back, and so are the links. */
  start(): void {
    this.#running = true;
    for (const connection of [...this.#states.keys()]) this.#restore(connection);
  }

  /** For links: their end, with notice to the watchers. */
  forget(connection: MemoryConnection, reason: string): void {
    const state = this.#states.get(connection);
    if (!state) return;
    if (state.up) this.#cut(connection, state, reason);
    this.#states.delete(connection);
  }

  /** For links. */
  subscribe(subscription: MemorySubscription): void {
    if (this.#states.get(subscription.connection)?.up) this.#index.add(subscription);
  }

  /** For links. */
  unsubscribe(subscription: MemorySubscription): void {
    this.#index.delete(subscription);
  }

  /** For links: sends to whoever listens now; returns to how many. */
  publish(from: MemoryConnection, message: MemoryMessage): number {
    if (!this.#states.get(from)?.up) return 0;
    const { plain, queues } = this.#index.match(message.subject);
    const hears = (subscription: MemorySubscription): boolean => subscription.connection !== from || from.echo;
    const receivers = plain.filter(hears);
    for (const members of queues.values()) {
      const turn = this.#turn++;
      const eligible = members.filter(hears);
      if (eligible.length > 0) receivers.push(eligible[turn % eligible.length]!);
    }
    for (const receiver of receivers) this.#pass(from, receiver, message);
    return receivers.length;
  }

  #open<L extends MemoryConnection>(link: L): L {
    if (!this.#running)
      throw new ThawError('THAW_TRANSPORT_UNAVAILABLE', `"${link.name}" connects to a broker that is stopped.`);
    this.#states.set(link, { up: true, paused: false, epoch: 0, held: [], channels: new Map() });
    for (const subscription of link.subscriptions) this.#index.add(subscription);
    return link;
  }

  #named(name: string): MemoryConnection[] {
    return [...this.#states.keys()].filter((connection) => connection.name === name);
  }

  #lose(connection: MemoryConnection, reason: string | undefined): void {
    const state = this.#states.get(connection);
    if (!state?.up) return;
    this.#cut(connection, state, reason);
    connection.connectionLost();
  }

  #cut(connection: MemoryConnection, state: State, reason: string | undefined): void {
    state.up = false;
    state.epoch++;
    state.held.length = 0;
    state.channels.clear(); // what is on its way is lost
    for (const subscription of connection.subscriptions) this.#index.delete(subscription);
    if (reason === undefined) return;
    this.clock.setTimer(this.latencyMs, () => {
      for (const watcher of [...this.#watchers]) watcher({ clientName: connection.name, reason });
    });
  }

  #restore(connection: MemoryConnection): void {
    const state = this.#states.get(connection)!;
    if (state.up) return;
    state.up = true;
    for (const subscription of connection.subscriptions) this.#index.add(subscription);
    connection.connectionBack();
  }

  #pass(from: MemoryConnection, to: MemorySubscription, message: MemoryMessage): void {
    const state = this.#states.get(to.connection)!;
    const { kind } = to.connection;
    const fate = this.faults({
      kind,
      from: from.name,
      to: to.connection.name,
      subject: message.subject,
      bytes: message.bytes.byteLength,
      index: this.#passages++,
    });
    if (fate.lost) return;
    let channel = state.channels.get(from);
    if (!channel) state.channels.set(from, (channel = { notBeforeMs: 0, queue: [] }));
    const { queue } = channel;
    const nowMs = this.clock.nowMs();
    channel.notBeforeMs = Math.max(nowMs + this.latencyMs + (fate.delayMs ?? 0), channel.notBeforeMs);
    const { epoch } = state;
    for (let i = 0; i < (fate.twice ? 2 : 1); i++) {
      // The receiver gets bytes of its own, as they are now, on an 8-byte boundary.
      const own = { ...message, bytes: new Uint8Array(message.bytes) };
      queue.push(() => {
        if (state.epoch === epoch && to.connection.subscriptions.has(to)) to.take(own);
      });
      // Each timer delivers whatever is first, so that rounding of times cannot change the order.
      this.clock.setTimer(channel.notBeforeMs - nowMs, () => {
        const deliver = queue.shift()!;
        if (state.paused) state.held.push(deliver);
        else deliver();
      });
    }
  }
}
