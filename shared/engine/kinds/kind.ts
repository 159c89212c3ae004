import { ThawError } from '@thaw/shared/protocol';
import type { Engine, EngineAvailability, EngineKind } from '../types.js';

export interface OpenOptions {
  /** Worker threads. */
  readonly workers: number;
  /** Goes into the description. */
  readonly reason: string;
}

/** One kind of engine: whether it can be used here, and how it is opened. */
export interface EngineProvider {
  readonly kind: EngineKind;
  check(): Promise<EngineAvailability>;
  /** Throws THAW_ENGINE_UNAVAILABLE with the reason that `check` would give. */
  open(options: OpenOptions): Promise<Engine>;
}

export const unavailable = (kind: EngineKind, reason: string): ThawError =>
  new ThawError('THAW_ENGINE_UNAVAILABLE', `the engine ${kind} cannot be used here: ${reason}`, {
    details: { reason },
  });

/** First line of an error, for one-sentence reasons. */
export function reasonOf(error: unknown): string {
  const reason = error instanceof ThawError ? error.details?.['reason'] : undefined;
  return typeof reason === 'string'
    ? reason
    : (error instanceof Error ? error.message : String(error)).split('\n')[0]!.trim();
}
