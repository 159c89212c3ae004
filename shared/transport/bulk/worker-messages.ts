/** What the owner of a bulk link and its worker thread say to each other. */
import type { LinkStatus, TlsOptions } from '../links.js';

/** `workerData`. */
export interface BulkWorkerSettings {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly tls?: TlsOptions;
  readonly token?: string;
  readonly user?: string;
  readonly pass?: string;
  readonly echo: boolean;
  readonly connectTimeoutMs: number;
}

export type ToWorker =
  | {
      readonly type: 'publish';
      readonly subject: string;
      readonly parts: readonly Uint8Array[];
      readonly bytes: number;
    }
  | { readonly type: 'subscribe'; readonly sid: number; readonly pattern: string }
  | { readonly type: 'unsubscribe'; readonly sid: number }
  | { readonly type: 'flush'; readonly id: number }
  | { readonly type: 'close' };

export interface BulkMessage {
  readonly sid: number;
  readonly subject: string;
  readonly payload: Uint8Array;
}

export type FromWorker =
  /** The first connection failed for good. */
  | { readonly type: 'failed'; readonly refused: boolean; readonly problem: string }
  | { readonly type: 'status'; readonly status: LinkStatus; readonly maxPayloadBytes: number }
  | { readonly type: 'messages'; readonly messages: readonly BulkMessage[] }
  /** Published messages that have left, and that were lost with the connection. Bytes of both leave the window. */
  | {
      readonly type: 'settled';
      readonly sent: number;
      readonly sentBytes: number;
      readonly dropped: number;
      readonly droppedBytes: number;
    }
  | { readonly type: 'flushed'; readonly id: number; readonly reached: boolean }
  | { readonly type: 'error'; readonly problem: string };
