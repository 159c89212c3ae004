import type { Credentials, TlsOptions } from '../links.js';

export type BrokerKind = 'external' | 'nats-server' | 'embedded';

export interface BrokerOptions {
  /** `auto`: the URL if given, else `nats-server` on PATH, else the embedded broker. */
  readonly prefer: 'auto' | 'nats-server' | 'embedded';
  /** An existing broker; it is only checked, and never closed by us. */
  readonly url?: string;
  /** Loopback address to listen on. Default 127.0.0.1. Others are refused: THAW_BIND_REFUSED. */
  readonly host?: string;
  /** 0 (default) takes a free port. */
  readonly port?: number;
  /** Clients authenticate with it; made up when absent (for an external broker: what we present). */
  readonly token?: string;
  /** Credentials for an external broker that wants user and password. */
  readonly credentials?: Credentials;
  /** For an external broker that wants TLS. */
  readonly tls?: TlsOptions;
  /** Folder for the generated configuration and ports file; a temporary one when absent. */
  readonly storeDir?: string;
  readonly maxPayloadBytes?: number;
  /** The nats-server program. Default: `nats-server` on PATH. */
  readonly natsServerPath?: string;
}

/** A broker that has answered a real connection. */
export interface BrokerHandle {
  readonly url: string;
  readonly kind: BrokerKind;
  readonly version: string;
  /** With `auto`: why nats-server was not taken. */
  readonly note?: string;
  /** What ordinary clients present. */
  readonly token?: string;
  /** What {@link watchDisconnects} presents; absent for external brokers. */
  readonly systemCredentials?: Credentials;
  readonly pid?: number;
  /** Resolves when the broker's process has ended, for whatever reason; never for an external broker. */
  readonly exited: Promise<void>;
  /** Stops the broker (not an external one). Idempotent. */
  close(): Promise<void>;
}

/** A client connection has ended. */
export interface DisconnectNotice {
  readonly clientName: string;
  readonly reason: string;
}
