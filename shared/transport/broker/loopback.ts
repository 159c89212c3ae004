import { ThawError } from '@thaw/shared/protocol';

/** @throws ThawError THAW_BIND_REFUSED unless `host` is a loopback address: local brokers speak no TLS. */
export function assertLoopback(host: string): void {
  if (/^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(host) || host === '::1' || host === 'localhost') return;
  throw new ThawError('THAW_BIND_REFUSED', `A local broker would listen on ${host}, which other machines can reach.`, {
    cure: 'Bind to 127.0.0.1, or run nats-server yourself with TLS and credentials and give its URL.',
  });
}
