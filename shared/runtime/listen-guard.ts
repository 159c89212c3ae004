/** Before and at binding: no listener reaches beyond this machine without a credential, and a port that cannot be had is named. */
import { ThawError } from '@thaw/shared/protocol';

/** Whether only this machine can connect to a listener bound to `host`: 127.0.0.0/8, ::1 or the name localhost. */
export function isLoopback(host: string): boolean {
  const bare = host
    .toLowerCase()
    .replace(/^\[(.*)\]$/, '$1')
    .replace(/^::ffff:/, '');
  if (bare === 'localhost' || bare === '::1' || bare === '0:0:0:0:0:0:0:1') return true;
  const parts = bare.split('.');
  return (
    parts.length === 4 && parts[0] === '127' && parts.every((part) => /^\d{1,3}$/.test(part) && Number(part) <= 255)
  );
}

/**
 * Call before binding anything.
 * @param what names the listener for the message, for example "The sampler's HTTP API".
 * @throws ThawError THAW_BIND_REFUSED unless `host` is loopback or the listener asks for a credential.
 */
export function assertBindAllowed(listener: { host: string; hasCredential: boolean; what: string }): void {
  if (listener.hasCredential || isLoopback(listener.host)) return;
  throw new ThawError('THAW_BIND_REFUSED', `${listener.what} would listen on "${listener.host}" without a credential.`);
}

/** What a failed attempt to listen is called: use as `listening.catch(cannotListen(host, port))`. */
export const cannotListen =
  (host: string, port: number) =>
  (cause: Error): never => {
    throw new ThawError('THAW_PORT_UNAVAILABLE', `Cannot listen on ${host}:${port}: ${cause.message}.`, { cause });
  };
