/** A nats-server of our own: found on PATH, checked, configured, started, guarded. */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { ThawError } from '@thaw/shared/protocol';
import { isUsableNatsVersion, natsServerConfig, parseNatsVersion } from '../nats-config.js';
import { spawnBroker } from './child.js';

export interface NatsServerProcess {
  readonly url: string;
  readonly pid: number;
  readonly exited: Promise<void>;
  close(): Promise<void>;
}

/** The version of the program, or why it cannot be used. */
export async function inspectNatsServer(program: string): Promise<{ version: string } | { problem: string }> {
  let text: string;
  try {
    text = (await promisify(execFile)(program, ['--version'], { timeout: 5000 })).stdout;
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    return {
      problem: missing ? `${program} is not installed` : `${program} --version failed: ${(error as Error).message}`,
    };
  }
  const version = parseNatsVersion(text);
  if (version === undefined) return { problem: `${program} --version answered "${text.trim().slice(0, 80)}"` };
  return isUsableNatsVersion(version)
    ? { version }
    : { problem: `${program} is version ${version}; 2.9 or later is needed` };
}

// nats-server does not watch its parent. A shell does: it ends the server when our end of its stdin closes, however we
// ended, ends itself when the server does, and leaves no file of secrets behind.
const guard = `folder=$1; shift
exec 3<&0
"$@" </dev/null 3<&- & server=$!
echo "pid $server"
( cat <&3 >/dev/null; kill "$server" 2>/dev/null ) & watcher=$!
exec 3<&-
wait "$server"; status=$?
kill "$watcher" 2>/dev/null
rm -rf "$folder"
exit "$status"`;

const startTimeoutMs = 10_000;

/** @throws ThawError THAW_BROKER_UNUSABLE */
export async function startNatsServer(options: {
  readonly program: string;
  readonly host: string;
  readonly port: number;
  readonly storeDir?: string | undefined;
  readonly maxPayloadBytes: number;
  readonly token: string;
  readonly systemPassword: string;
}): Promise<NatsServerProcess> {
  if (options.storeDir !== undefined) await mkdir(options.storeDir, { recursive: true });
  const folder = await mkdtemp(join(options.storeDir ?? tmpdir(), 'nats-'));
  const configFile = join(folder, 'nats-server.conf');
  await writeFile(configFile, natsServerConfig({ ...options, portsDir: folder }), { mode: 0o600 });
  const child = spawnBroker(
    '/bin/sh',
    ['-c', guard, 'nats-guard', folder, options.program, '-c', configFile],
    process.env,
  );
  let pid: number | undefined;
  let ended = false;
  child.onLine((line) => {
    const found = /^pid (\d+)$/.exec(line);
    if (found) pid = Number(found[1]);
  });
  const exited = child.exited.then(async () => {
    ended = true;
    await rm(folder, { recursive: true, force: true });
  });
  const kill = (): void => {
    try {
      if (pid !== undefined) process.kill(pid, 'SIGKILL');
    } catch {
      // gone in between
    }
    child.process.kill('SIGKILL');
  };
  const close = async (): Promise<void> => {
    if (!ended) await child.stop(kill);
    await exited;
  };
  // The server itself says which port it got, in a file it writes once it listens.
  const deadline = startTimeoutMs / 20;
  for (let i = 0; i < deadline && !ended; i++) {
    const url = await readPortsFile(folder);
    if (url !== undefined && pid !== undefined) {
      child.letGo();
      return { url, pid, exited, close };
    }
    await sleep(20);
  }
  await close();
  throw new ThawError(
    'THAW_BROKER_UNUSABLE',
    `${options.program} did not start: ${child.errorTail().split('\n').at(-1) || 'no reason given'}`,
  );
}

async function readPortsFile(folder: string): Promise<string | undefined> {
  const name = (await readdir(folder).catch(() => [] as string[])).find((file) => file.endsWith('.ports'));
  if (name === undefined) return undefined;
  try {
    const { nats } = JSON.parse(await readFile(join(folder, name), 'utf8')) as { nats?: readonly string[] };
    return nats?.[0];
  } catch {
    return undefined; // half written
  }
}
