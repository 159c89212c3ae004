/** Who may use a door: bearer token, Host (against DNS rebinding), Origin (against web pages of strangers). */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { ThawError } from '@thaw/shared/protocol';
import { isLoopback } from './listen-guard.js';

export interface AccessRules {
  readonly token?: string;
  /** Bound address. */
  readonly host: string;
  /** Further host names; `*` allows any. */
  readonly allowedHosts: readonly string[];
  readonly allowedOrigins: readonly string[];
}

/** Subprotocol by which a browser, which cannot set headers on a WebSocket, hands in the token. */
export const bearerProtocolPrefix = 'thaw.bearer.';

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
const equal = (a: string, b: string): boolean => timingSafeEqual(digest(a), digest(b));

/** @throws ThawError THAW_UNAUTHORIZED */
export function checkToken(rules: AccessRules, headers: IncomingHttpHeaders): void {
  if (rules.token === undefined) return;
  const given = /^Bearer +(\S+) *$/i.exec(headers.authorization ?? '')?.[1];
  const protocols = (headers['sec-websocket-protocol'] ?? '').split(',').map((protocol) => protocol.trim());
  const offered = protocols
    .find((protocol) => protocol.startsWith(bearerProtocolPrefix))
    ?.slice(bearerProtocolPrefix.length);
  const token = given ?? offered ?? cookieToken(headers);
  if (token === undefined) throw new ThawError('THAW_UNAUTHORIZED', 'The request carries no token.');
  if (!equal(token, rules.token)) throw new ThawError('THAW_UNAUTHORIZED', 'The token is not the right one.');
}

/** Cookie by which a page that was opened with the token goes on carrying it. */
export const tokenCookie = 'thaw_token';

/** The `Set-Cookie` value for `token`: no script reads it, no other site sends it. */
export const tokenCookieHeader = (token: string): string =>
  `${tokenCookie}=${encodeURIComponent(token)}; HttpOnly; SameSite=Strict; Path=/`;

function cookieToken(headers: IncomingHttpHeaders): string | undefined {
  for (const pair of (headers.cookie ?? '').split(';')) {
    const [name, value] = pair.trim().split('=', 2);
    if (name !== tokenCookie || value === undefined) continue;
    try {
      return decodeURIComponent(value);
    } catch {
      return undefined; // not a value that was set here
    }
  }
  return undefined;
}

/** @throws ThawError THAW_ORIGIN_REFUSED */
export function checkHost(rules: AccessRules, headers: IncomingHttpHeaders): void {
  if (rules.allowedHosts.includes('*')) return;
  const name = hostName(headers.host);
  if (
    name !== undefined &&
    (isLoopback(name) || name === rules.host.toLowerCase() || rules.allowedHosts.includes(name))
  )
    return;
  throw new ThawError(
    'THAW_ORIGIN_REFUSED',
    `The host name ${JSON.stringify((headers.host ?? '').slice(0, 100))} is not one of this service.`,
  );
}

/** For requests that change something, and upgrades. @throws ThawError THAW_ORIGIN_REFUSED */
export function checkOrigin(rules: AccessRules, headers: IncomingHttpHeaders): void {
  const { origin } = headers;
  if (origin === undefined) return; // not a web page
  if (headers.host !== undefined && (origin === `http://${headers.host}` || origin === `https://${headers.host}`))
    return;
  if (rules.allowedOrigins.includes(origin)) return;
  throw new ThawError(
    'THAW_ORIGIN_REFUSED',
    `Requests from the origin ${JSON.stringify(origin.slice(0, 100))} are not allowed.`,
  );
}

function hostName(host: string | undefined): string | undefined {
  if (host === undefined || !URL.canParse(`http://${host}`)) return undefined;
  return new URL(`http://${host}`).hostname;
}
