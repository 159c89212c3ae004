/** Is a broker there, does it let us in, and what is it? */
import { connect } from 'nats';
import type { Credentials, TlsOptions } from '../../links.js';
import { natsOptions, toThawError } from './connect-options.js';

/** @throws ThawError THAW_TRANSPORT_UNAVAILABLE, THAW_TRANSPORT_REFUSED */
export async function probeBroker(
  url: string,
  credentials: Credentials & { readonly tls?: TlsOptions | undefined },
): Promise<{ version: string; maxPayloadBytes: number }> {
  try {
    const connection = await connect({ ...natsOptions(url, { ...credentials, name: 'thaw-probe' }), reconnect: false });
    try {
      await connection.flush();
      return { version: connection.info?.version ?? 'unknown', maxPayloadBytes: connection.info?.max_payload ?? 0 };
    } finally {
      await connection.close();
    }
  } catch (error) {
    throw toThawError(error, 'The broker was asked for its version');
  }
}
