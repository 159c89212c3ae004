/**
 * The embedded broker as a process of its own: `node main.js --port 0`. Prints one line of JSON,
 * `{"event":"listening","url","port","version"}`, once it listens. Secrets come by environment, so that no process list
 * shows them: THAW_BROKER_TOKEN, THAW_BROKER_SYSTEM_PASSWORD. With `--exit-with-parent` it ends when its stdin does.
 */
import { parseArgs } from 'node:util';
import { ThawError } from '@thaw/shared/protocol';
import { startEmbeddedBroker } from './embedded.js';

const count = (text: string | undefined, name: string, max: number): number | undefined => {
  if (text === undefined) return undefined;
  if (!/^\d{1,10}$/.test(text) || Number(text) > max)
    throw new ThawError('THAW_CONFIG_INVALID', `--${name} is "${text}", not a number up to ${max}.`);
  return Number(text);
};

try {
  const { values } = parseArgs({
    options: {
      host: { type: 'string' },
      port: { type: 'string' },
      'max-payload': { type: 'string' },
      'exit-with-parent': { type: 'boolean' },
    },
  });
  const broker = await startEmbeddedBroker({
    host: values.host,
    port: count(values.port, 'port', 65535),
    maxPayloadBytes: count(values['max-payload'], 'max-payload', 64 << 20),
    token: process.env['THAW_BROKER_TOKEN'],
    systemPassword: process.env['THAW_BROKER_SYSTEM_PASSWORD'],
  });
  const stop = (): void => void broker.close().then(() => process.exit(0));
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
  if (values['exit-with-parent']) {
    process.stdin.once('close', stop);
    process.stdin.once('end', stop);
    process.stdin.resume();
  }
  process.stdout.write(
    `${JSON.stringify({ event: 'listening', url: broker.url, port: broker.port, version: broker.version })}\n`,
  );
} catch (error) {
  const body =
    error instanceof ThawError
      ? error.toBody()
      : { code: 'THAW_INTERNAL', message: error instanceof Error ? error.message : String(error) };
  process.stderr.write(`${JSON.stringify(body)}\n`);
  process.exitCode = 1;
}
