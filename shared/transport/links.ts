/** The two ways processes talk: a control link (small messages, request and reply) and a bulk link (tensors). */

/**
 * `connected` after the first connection, `disconnected` when it is lost, `reconnected` when it is back with every
 * subscription renewed (whatever was in flight is lost: ask again for what is missing), `closed` at the end.
 */
export type LinkStatus = 'connected' | 'disconnected' | 'reconnected' | 'closed';

/** Stops receiving what the listener was registered for; calling it twice is harmless. */
export type StopListening = () => void;

export interface Subscription {
  /** Subject or pattern (`*` one token, `>` the rest). */
  readonly pattern: string;
  /** Stops delivery; messages already on their way may be dropped. Idempotent. */
  unsubscribe(): void;
}

export interface SubscribeOptions {
  /** Queue group: each message goes to one member of the group. */
  readonly queue?: string;
}

export interface RequestOptions {
  /** Time until THAW_TRANSPORT_TIMEOUT. */
  readonly timeoutMs: number;
}

export type ControlHandler = (bytes: Uint8Array, subject: string) => void;
/** Returns the reply. A thrown ThawError reaches the requester with its code; any other error as THAW_INTERNAL. */
export type ServeHandler = (bytes: Uint8Array, subject: string) => Promise<Uint8Array> | Uint8Array;

/**
 * Small messages: events and request/reply. Delivery is at most once; while the link is disconnected `publish` drops
 * (a late heartbeat is worse than none) and `request` fails at once.
 */
export interface ControlLink {
  readonly name: string;
  readonly status: LinkStatus;
  /** Bytes belong to the link from here on; do not change them. */
  publish(subject: string, bytes: Uint8Array): void;
  /**
   * @throws ThawError THAW_TRANSPORT_NO_RESPONDER (nobody serves the subject), THAW_TRANSPORT_TIMEOUT,
   * THAW_TRANSPORT_UNAVAILABLE (link down), or whatever ThawError the server threw.
   */
  request(subject: string, bytes: Uint8Array, options: RequestOptions): Promise<Uint8Array>;
  serve(subject: string, handler: ServeHandler, options?: SubscribeOptions): Subscription;
  subscribe(pattern: string, handler: ControlHandler, options?: SubscribeOptions): Subscription;
  /** Resolves when the broker has processed everything sent so far, subscriptions included. */
  flush(): Promise<void>;
  onStatus(listener: (status: LinkStatus) => void): StopListening;
  close(): Promise<void>;
}

export interface BulkStats {
  /** Payload bytes and messages, without protocol lines. `dropped`: published while the link was down. */
  readonly bytesOut: number;
  readonly bytesIn: number;
  readonly messagesOut: number;
  readonly messagesIn: number;
  readonly messagesDropped: number;
}

/**
 * `payload` starts on an 8-byte boundary and belongs to the receiver (its own buffer), unless one message
 * matches several subscriptions of the same link: then they share it.
 */
export type BulkHandler = (subject: string, payload: Uint8Array) => void;

/**
 * Tensors: ordered per sender, at most once, no acknowledgement. Missing chunks are the protocol's business.
 */
export interface BulkLink {
  readonly name: string;
  readonly status: LinkStatus;
  /** Largest payload of one message, in bytes, as the broker allows. */
  readonly maxPayloadBytes: number;
  /**
   * Sends the concatenation of `parts` as one message. Parts on a SharedArrayBuffer are sent in place: leave them
   * unchanged until `flush()` resolves. Other parts are copied once, here. While disconnected the message is dropped.
   * @throws ThawError THAW_TRANSPORT_TOO_LARGE, THAW_TRANSPORT_SUBJECT_INVALID
   */
  publish(subject: string, parts: readonly Uint8Array[]): void;
  subscribe(pattern: string, handler: BulkHandler): Subscription;
  /** Resolves when no more than the window (4 MiB) waits to be sent: await it between publishes. */
  drained(): Promise<void>;
  /** Resolves when the broker has processed everything sent so far, subscriptions included. */
  flush(): Promise<void>;
  stats(): BulkStats;
  onStatus(listener: (status: LinkStatus) => void): StopListening;
  close(): Promise<void>;
}

/** PEM texts. Giving `tls` (even empty) demands TLS. */
export interface TlsOptions {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

export interface Credentials {
  readonly token?: string;
  readonly user?: string;
  readonly pass?: string;
}

export interface ConnectOptions extends Credentials {
  /** Shown in broker logs and disconnect notices: unique per process incarnation. */
  readonly name: string;
  readonly tls?: TlsOptions;
  /** How long the first connection may take, retries included. Default 10 000. Later the link reconnects forever. */
  readonly connectTimeoutMs?: number;
  /** Errors thrown by handlers and errors the broker reports. Default: a process warning. */
  readonly onError?: (error: unknown) => void;
}

export interface BulkOptions extends ConnectOptions {
  /** Bytes that may wait to be sent before `drained()` waits. Default 4 MiB. */
  readonly windowBytes?: number;
  /** Receive one's own messages as well. Default false. */
  readonly echo?: boolean;
}
