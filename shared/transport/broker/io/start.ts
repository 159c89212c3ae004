/** Which broker a cluster uses, started and proven by a real connection. */
import { randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { ThawError } from '@thaw/shared/protocol';
import { assertBindAllowed, builtFile } from '@thaw/shared/runtime';
import type { Credentials } from '../../links.js';
import { probeBroker } from '../../control/io/probe.js';
import { systemUser } from '../authentication.js';
import type { BrokerHandle, BrokerOptions } from '../handle.js';
import { isPlainToken } from '../nats-config.js';
import { spawnBroker } from './child.js';
import { inspectNatsServer, startNatsServer } from './nats-server.js';

/**
 * A URL wins; else `nats-server` on PATH if it can be used; else, unless it was demanded, the embedded
 * broker in a process of its own.
 * @throws ThawError THAW_BIND_REFUSED, THAW_BROKER_UNUSABLE, THAW_TRANSPORT_UNAVAILABLE or THAW_TRANSPORT_REFUSED (external)
 */
export async function startBroker(options: BrokerOptions): Promise<BrokerHandle> {
  if (options.url !== undefined) return useExternal(options.url, options);
  const host = options.host ?? '127.0.0.1';
  assertBindAllowed({ host, hasCredential: false, what: 'A local broker' });
  const token = options.token ?? randomBytes(24).toString('base64url');
  if (!isPlainToken(token))
    throw new ThawError(
      'THAW_CONFIG_INVALID',
      'The broker token holds characters other than letters, digits and . _ ~ + / = -.',
    );
  const systemPassword = randomBytes(24).toString('base64url');
  const settings = {
    host,
    port: options.port ?? 0,
    storeDir: options.storeDir,
    maxPayloadBytes: options.maxPayloadBytes ?? 8 << 20,
    token,
    systemPassword,
  };
  const common = { token, systemCredentials: { user: systemUser, pass: systemPassword } };
  const startEmbedded = async (): Promise<BrokerHandle> =>
    proven({ ...(await startEmbeddedProcess(settings)), ...common, kind: 'embedded' });
  if (options.prefer === 'embedded') return startEmbedded();
  try {
    const program = options.natsServerPath ?? 'nats-server';
    const found = await inspectNatsServer(program);
    if ('problem' in found) throw new ThawError('THAW_BROKER_UNUSABLE', `${found.problem}.`);
    const server = await startNatsServer({ ...settings, program });
    return await proven({ ...server, ...common, kind: 'nats-server', version: found.version });
  } catch (error) {
    if (options.prefer === 'nats-server' || !(error instanceof ThawError)) throw error;
    return { ...(await startEmbedded()), note: error.message };
  }
}

async function useExternal(url: string, options: BrokerOptions): Promise<BrokerHandle> {
  const credentials: Credentials = {
    ...options.credentials,
    ...(options.token === undefined ? {} : { token: options.token }),
  };
  const { version } = await probeBroker(url, { ...credentials, tls: options.tls });
  const token = options.token === undefined ? {} : { token: options.token };
  return {
    url,
    kind: 'external',
    version,
    ...token,
    exited: new Promise(() => undefined),
    close: () => Promise.resolve(),
  };
}

/** A broker is ready when a client got an answer; one that gives none is stopped again. */
async function proven(broker: BrokerHandle): Promise<BrokerHandle> {
  try {
    await probeBroker(broker.url, { token: broker.token });
    return broker;
  } catch (error) {
    await broker.close();
    throw error;
  }
}

async function startEmbeddedProcess(settings: {
  readonly host: string;
  readonly port: number;
  readonly maxPayloadBytes: number;
  readonly token: string;
  readonly systemPassword: string;
}): Promise<Pick<BrokerHandle, 'url' | 'version' | 'pid' | 'exited' | 'close'>> {
  const main = fileURLToPath(builtFile(import.meta.url, './main.js'));
  const args = [
    main,
    '--host',
    settings.host,
    '--port',
    `${settings.port}`,
    '--max-payload',
    `${settings.maxPayloadBytes}`,
    '--exit-with-parent',
  ];
  const env = {
    ...process.env,
    THAW_BROKER_TOKEN: settings.token,
    THAW_BROKER_SYSTEM_PASSWORD: settings.systemPassword,
  };
  const child = spawnBroker(process.execPath, args, env);
  let ended = false;
  const exited = child.exited.then(() => void (ended = true));
  const listening = await Promise.race([
    new Promise<{ url: string; version: string }>((resolve) =>
      child.onLine((line) => {
        const event = JSON.parse(line) as { event: string; url: string; version: string };
        if (event.event === 'listening') resolve(event);
      }),
    ),
    exited,
  ]);
  if (!listening)
    throw new ThawError(
      'THAW_BROKER_UNUSABLE',
      `The embedded broker did not start: ${child.errorTail() || 'no reason given'}`,
    );
  child.letGo();
  return {
    url: listening.url,
    version: listening.version,
    pid: child.process.pid!,
    exited,
    close: async () => {
      if (!ended) await child.stop(() => child.process.kill('SIGKILL'));
      await exited;
    },
  };
}
