/** Who a connection is: an ordinary client, the watcher of system events, or nobody. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { ConnectFields } from '../wire/index.js';

/** Accounts do not hear each other. */
export type Account = 'THAW' | 'SYS';

/** Ordinary clients may also present the token as this user's password: nats-server offers no token beside accounts. */
export const clientUser = 'thaw';
export const systemUser = 'thaw-system';

export interface AuthenticationRules {
  /** Without a token every loopback client is welcome (tests). */
  readonly token?: string | undefined;
  /** Without a password nobody hears system events over the wire. */
  readonly systemPassword?: string | undefined;
}

/** Undefined: refused. */
export function authenticate(connect: ConnectFields, rules: AuthenticationRules): Account | undefined {
  if (connect.user === systemUser) return same(connect.pass, rules.systemPassword) ? 'SYS' : undefined;
  if (rules.token === undefined) return 'THAW';
  if (same(connect.token, rules.token)) return 'THAW';
  return connect.user === clientUser && same(connect.pass, rules.token) ? 'THAW' : undefined;
}

/** Compares in a time that depends on neither text. */
function same(given: string | undefined, expected: string | undefined): boolean {
  if (given === undefined || expected === undefined) return false;
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(given), digest(expected));
}
