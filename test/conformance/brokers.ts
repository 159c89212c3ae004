/** The brokers that this machine has: the embedded one always, nats-server where it is installed. */
import { createConnection, type Socket } from 'node:net';
import { inspectNatsServer, startBroker, type BrokerHandle, type BrokerOptions } from '@thaw/shared/transport';

export interface BrokerUnderTest {
  readonly label: string;
  start(options?: Partial<BrokerOptions>): Promise<BrokerHandle>;
}

/**
 * `nats-server` on PATH, and every program in THAW_TEST_NATS_SERVERS (separated by colons): CI tests several versions.
 * `missing` says why there is none.
 */
export async function installedBrokers(): Promise<{ brokers: BrokerUnderTest[]; missing: string[] }> {
  const brokers: BrokerUnderTest[] = [
    { label: 'embedded broker', start: (options) => startBroker({ prefer: 'embedded', ...options }) },
  ];
  const missing: string[] = [];
  const more = (process.env['THAW_TEST_NATS_SERVERS'] ?? '').split(':').filter((path) => path !== '');
  for (const program of ['nats-server', ...more]) {
    const found = await inspectNatsServer(program);
    if ('problem' in found) missing.push(found.problem);
    else
      brokers.push({
        label: `nats-server ${found.version}`,
        start: (options) => startBroker({ prefer: 'nats-server', natsServerPath: program, ...options }),
      });
  }
  return { brokers, missing };
}

/** A client that speaks the protocol by hand. */
export interface RawClient {
  readonly socket: Socket;
  /** Everything received so far. */
  text(): string;
  /** Waits until what was received contains `needle`; fails when the connection ends first. */
  until(needle: string): Promise<void>;
  readonly closed: Promise<void>;
}

export async function rawClient(url: string): Promise<RawClient> {
  const { hostname, port } = new URL(url);
  const socket = createConnection({ host: hostname, port: Number(port) });
  let received = '';
  const waiters = new Set<() => void>();
  let isClosed = false;
  const closed = new Promise<void>((resolve) => {
    socket.once('close', () => {
      isClosed = true;
      for (const wake of waiters) wake();
      resolve();
    });
  });
  socket.on('error', () => undefined);
  socket.on('data', (chunk) => {
    received += chunk.toString('latin1');
    for (const wake of waiters) wake();
  });
  const until = async (needle: string): Promise<void> => {
    while (!received.includes(needle)) {
      if (isClosed)
        throw new Error(`closed before ${JSON.stringify(needle)}; received ${JSON.stringify(received.slice(-300))}`);
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          waiters.delete(wake);
          resolve();
        };
        waiters.add(wake);
      });
    }
  };
  await until('INFO ');
  return { socket, text: () => received, until, closed };
}

/** Waits for a condition that something else brings about. */
export async function eventually(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}
