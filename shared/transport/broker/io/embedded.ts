/** The embedded broker: core NATS for one machine, on loopback only. */
import { randomUUID } from 'node:crypto';
import net, { type AddressInfo } from 'node:net';
import { performance } from 'node:perf_hooks';
import { ThawError } from '@thaw/shared/protocol';
import { assertBindAllowed } from '@thaw/shared/runtime';
import type { AuthenticationRules } from '../authentication.js';
import { BrokerCore, type CoreStats } from '../core.js';
import type { DisconnectNotice } from '../handle.js';
import { Connection, type ConnectionLimits } from './connection.js';

export interface EmbeddedOptions extends AuthenticationRules {
  readonly host?: string;
  readonly port?: number;
  readonly maxPayloadBytes?: number;
  readonly maxConnections?: number;
  readonly limits?: Partial<ConnectionLimits>;
  readonly onDisconnect?: (notice: DisconnectNotice) => void;
}

export interface EmbeddedBroker {
  readonly url: string;
  readonly port: number;
  readonly version: string;
  stats(): Readonly<CoreStats> & { readonly connections: number };
  /** Closes every connection and the listener. */
  close(): Promise<void>;
}

/** The server version whose core-NATS behaviour this broker follows; clients decide by it what they may use. */
export const embeddedVersion = '2.9.0';

const defaultLimits: ConnectionLimits = {
  maxControlLineBytes: 4096,
  maxPendingBytes: 64 << 20,
  authTimeoutMs: 2000,
  pingIntervalMs: 5000,
  maxPingsOut: 2,
  stallTimeoutMs: 5000,
};
const tickMs = 250;

/** @throws ThawError THAW_BIND_REFUSED, THAW_BROKER_UNUSABLE (address in use) */
export async function startEmbeddedBroker(options: EmbeddedOptions = {}): Promise<EmbeddedBroker> {
  const host = options.host ?? '127.0.0.1';
  assertBindAllowed({ host, hasCredential: false, what: 'A local broker' });
  const limits = { ...defaultLimits, ...options.limits };
  const connections = new Set<Connection>();
  const server = net.createServer({ pauseOnConnect: true, noDelay: true });
  await new Promise<void>((resolve, reject) => {
    const refuse = (cause: Error): void =>
      reject(
        new ThawError(
          'THAW_BROKER_UNUSABLE',
          `The broker cannot listen on ${host}:${options.port ?? 0}: ${cause.message}`,
          { cause },
        ),
      );
    server.once('error', refuse);
    server.listen(options.port ?? 0, host, () => {
      server.off('error', refuse);
      resolve();
    });
  });
  server.on('error', (error) => process.emitWarning(error));
  const port = (server.address() as AddressInfo).port;
  const core = new BrokerCore({
    token: options.token,
    systemPassword: options.systemPassword,
    maxPayloadBytes: options.maxPayloadBytes ?? 8 << 20,
    maxSubscriptionsPerClient: 10_000,
    info: { server_id: randomUUID(), server_name: 'thaw-embedded', version: embeddedVersion, host, port },
    onDisconnect: options.onDisconnect,
  });
  server.on('connection', (socket) => {
    const connection: Connection = new Connection(core, socket, limits, performance.now(), () =>
      connections.delete(connection),
    );
    connections.add(connection);
    if (connections.size > (options.maxConnections ?? 1024)) connection.fail('maximum connections exceeded');
  });
  const timer = setInterval(() => {
    const nowMs = performance.now();
    for (const connection of connections) connection.tick(nowMs);
  }, tickMs);
  return {
    url: `nats://${host.includes(':') ? `[${host}]` : host}:${port}`,
    port,
    version: embeddedVersion,
    stats: () => ({ ...core.stats, connections: connections.size }),
    async close() {
      clearInterval(timer);
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const connection of connections) connection.destroy('Server Shutdown');
      await closed;
    },
  };
}
