/** How every process begins and ends: configuration, name, log, signals, health, metrics; a failed start is one sentence. */
import { ThawError } from '@thaw/shared/protocol';
import type { z } from 'zod';
import { systemClock, type Clock } from '../clock.js';
import { randomHex, systemEntropy } from '../entropy.js';
import { Health } from '../health.js';
import { Lifecycle } from '../lifecycle.js';
import { createLogger, type Logger } from '../logger.js';
import { Metrics } from '../metrics.js';
import { watchEventLoop } from './event-loop.js';
import { startOperationsServer } from './operations-server.js';
import { loadProcessConfig } from './process-config.js';
import { attachSignals } from './signals.js';

/** What the configuration of every process has. */
export interface ServiceSettings {
  readonly name: string;
  readonly host: string;
  readonly metricsPort: number;
  readonly token?: string | undefined;
  readonly logLevel: string;
}

export interface Service<C> {
  readonly config: C;
  /** The configured name and a random incarnation: a restarted process is another one. */
  readonly id: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly lifecycle: Lifecycle;
  readonly health: Health;
  readonly metrics: Metrics;
  /** Where `/healthz`, `/readyz` and `/metrics` are served. */
  readonly operationsUrl: string;
}

/** From the request to stop until the process exits, whatever is left. */
const drainDeadlineMs = 8000;

/**
 * Reads the configuration and opens what every process has. It drains on SIGTERM, SIGINT and SIGHUP, and when the supervisor
 * that started it with an IPC channel is gone.
 * @throws ThawError THAW_CONFIG_INVALID, THAW_BIND_REFUSED
 */
export async function startService<S extends z.ZodType<ServiceSettings>>(
  kind: string,
  schema: S,
): Promise<Service<z.output<S>>> {
  const config = loadProcessConfig(schema, process.env);
  const clock = systemClock;
  const id = `${config.name}-${randomHex(systemEntropy, 4)}`;
  const logger = createLogger({ service: kind, level: config.logLevel, fields: { [kind]: id } });
  const exit = (code: number): never => process.exit(code);
  const lifecycle = new Lifecycle({ clock, logger, deadlineMs: drainDeadlineMs, exit });
  attachSignals(lifecycle);
  process.on('disconnect', () => void lifecycle.stop('the supervisor is gone'));
  const metrics = new Metrics({ service: kind });
  const health = new Health();
  lifecycle.onStop('event loop watch', watchEventLoop(health));
  const { host, metricsPort: port, token } = config;
  const operations = await startOperationsServer({ host, port, token, health, metrics, clock });
  lifecycle.onStop('health and metrics', () => operations.close());
  return { config, id, clock, logger, lifecycle, health, metrics, operationsUrl: operations.url };
}

/** Runs a process's main function; an error before it is ready is told in a sentence, and the process exits with 1. */
export function runService(main: () => Promise<void>): void {
  main().catch((error: unknown) => {
    const defect = error instanceof Error ? error.stack : String(error);
    const text = error instanceof ThawError ? `${error.code}: ${error.message} ${error.cure}` : defect;
    process.stderr.write(`${text}\n`);
    process.exit(1);
  });
}

/** Tells whoever started the process that it is ready: one line of JSON that begins with the address. */
export function announceReady(listening: string, fields: Readonly<Record<string, unknown>>): void {
  process.stdout.write(`${JSON.stringify({ listening, ...fields })}\n`);
}
