/** Our options in the official client's words, and its errors in ours. */
import { errors, type ConnectionOptions } from 'nats';
import { ThawError } from '@thaw/shared/protocol';
import { clientUser } from '../../broker/authentication.js';
import type { ConnectOptions, Credentials, TlsOptions } from '../../links.js';

export function natsOptions(url: string, options: ConnectOptions): ConnectionOptions {
  const tls = tlsOf(url, options);
  return {
    servers: withoutCredentials(url),
    name: options.name,
    ...natsCredentials({ ...credentialsOf(url), ...options }),
    ...(tls === undefined ? {} : { tls: { ...tls } }),
    reconnect: true,
    maxReconnectAttempts: -1,
    ignoreAuthErrorAbort: true, // a broker that restarts may refuse for a moment
    ignoreClusterUpdates: true, // we were told where to connect
    reconnectTimeWait: 100,
    reconnectJitter: 100,
    reconnectJitterTLS: 100,
    timeout: 5000,
    pingInterval: 5000,
    maxPingOut: 2,
    noAsyncTraces: true,
  };
}

/** `tls://` demands TLS as the option does; a broker that demands it gets it in any case. */
export function tlsOf(url: string, options: { readonly tls?: TlsOptions | undefined }): TlsOptions | undefined {
  return options.tls ?? (parseUrl(url).protocol === 'tls:' ? {} : undefined);
}

/** A token is presented both ways: as token, and as the password of the user that our nats-server knows. */
export function natsCredentials(credentials: Credentials): Credentials {
  if (credentials.token === undefined) {
    const { user, pass } = credentials;
    return user === undefined ? {} : { user, ...(pass === undefined ? {} : { pass }) };
  }
  return {
    user: clientUser,
    pass: credentials.token,
    ...(credentials.user === undefined ? {} : { user: credentials.user, pass: credentials.pass }),
    token: credentials.token,
  };
}

/** `nats://token@host` and `nats://user:pass@host`, as NATS clients understand them. */
export function credentialsOf(url: string): Credentials {
  const { username, password } = parseUrl(url);
  if (username === '') return {};
  const user = decodeURIComponent(username);
  return password === '' ? { token: user } : { user, pass: decodeURIComponent(password) };
}

export function withoutCredentials(url: string): string {
  const { protocol, host } = parseUrl(url);
  return `${protocol}//${host}`;
}

/** @throws ThawError THAW_CONFIG_INVALID */
export function parseUrl(url: string): URL {
  const text = url.includes('://') ? url : `nats://${url}`;
  try {
    const parsed = new URL(text);
    if ((parsed.protocol === 'nats:' || parsed.protocol === 'tls:') && parsed.hostname !== '') return parsed;
  } catch {
    // said below, without the URL's secrets
  }
  throw new ThawError('THAW_CONFIG_INVALID', 'The broker URL is not of the form nats://host:port or tls://host:port.');
}

export function toThawError(error: unknown, what: string): ThawError {
  if (error instanceof ThawError) return error;
  const cause = error instanceof Error ? error : new Error(String(error));
  const has = (kind: abstract new (...args: never[]) => Error): boolean =>
    error instanceof kind || cause.cause instanceof kind;
  if (has(errors.AuthorizationError) || has(errors.UserAuthenticationExpiredError))
    return new ThawError('THAW_TRANSPORT_REFUSED', `${what}: the broker refused the credentials.`, { cause });
  if (has(errors.NoRespondersError))
    return new ThawError('THAW_TRANSPORT_NO_RESPONDER', `${what}: nobody serves this subject.`, { cause });
  if (has(errors.TimeoutError))
    return new ThawError('THAW_TRANSPORT_TIMEOUT', `${what}: no answer in time.`, { cause });
  if (has(errors.PermissionViolationError))
    return new ThawError('THAW_TRANSPORT_REFUSED', `${what}: ${cause.message}`, { cause });
  return new ThawError('THAW_TRANSPORT_UNAVAILABLE', `${what}: ${cause.message || 'the broker cannot be reached'}.`, {
    cause,
  });
}
