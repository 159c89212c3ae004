/** The processes of a local cluster: started with a clean environment, watched, drained in order, never orphaned. */
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { ThawError } from '@thaw/shared/protocol';

export interface ChildSpec {
  readonly name: string;
  /** Script to run with this Node. */
  readonly script: string;
  /** `THAW_*` variables; anything else is inherited, other `THAW_*` are not. */
  readonly env: Readonly<Record<string, string>>;
}

export interface Child {
  readonly name: string;
  readonly pid: number;
  /** The line `{"listening": url, ...}` that the process printed when it was ready. */
  readonly ready: Readonly<Record<string, unknown>>;
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  /** SIGTERM, then SIGKILL after the grace period. Resolves when the process is gone. */
  stop(graceMs?: number): Promise<void>;
}

/**
 * For glibc's allocator; others do not know them. Threads share two heaps instead of one each: what is free in one serves the others. And
 * what is large is given back when it is freed, for good: left alone, the allocator begins to keep blocks of up to 32 MiB.
 */
export const allocatorSettings = { MALLOC_ARENA_MAX: '2', MALLOC_MMAP_THRESHOLD_: '1048576' } as const;

const inherited = (): Record<string, string> =>
  Object.fromEntries(
    Object.entries(process.env).filter(
      (pair): pair is [string, string] => pair[1] !== undefined && !pair[0].startsWith('THAW_'),
    ),
  );

/** The object of a line `{"listening": ...}`; any other line belongs to the log. */
function readyLine(line: string): Record<string, unknown> | undefined {
  if (!line.startsWith('{"listening"')) return undefined;
  try {
    return JSON.parse(line) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}

/** The coded sentence with which a process ended, if it is the last thing in its log. */
function lastWords(logFile: string): string {
  const lines = readFileSync(logFile, 'utf8').trimEnd().split('\n');
  const from = lines.findLastIndex((line) => /^THAW_[A-Z_]+: /.test(line));
  return from < 0 || lines.slice(from).some((line) => line.startsWith('{'))
    ? ''
    : ` It said: ${lines.slice(from).join(' ')}`;
}

/**
 * Starts a process in its own group, so that Ctrl-C reaches the supervisor alone and the order of draining is ours. It keeps an IPC
 * channel: when the supervisor dies, whatever the cause, the channel closes and the child drains by itself.
 * @throws ThawError THAW_CLUSTER_START if it exits, or prints no ready line in time.
 */
export async function startChild(spec: ChildSpec, logDir: string, readyTimeoutMs = 120_000): Promise<Child> {
  mkdirSync(logDir, { recursive: true });
  const logFile = join(logDir, `${spec.name}.log`);
  const log = openSync(logFile, 'a', 0o600);
  const child: ChildProcess = spawn(process.execPath, [spec.script], {
    env: { ...allocatorSettings, ...inherited(), ...spec.env },
    stdio: ['ignore', 'pipe', log, 'ipc'],
    detached: true,
  });
  const exited = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) =>
    child.once('exit', (code, signal) => resolve({ code, signal })),
  );
  const lines = createInterface({ input: child.stdout! });
  const ready = await new Promise<Record<string, unknown>>((resolve, reject) => {
    const fail = (why: string): void =>
      reject(
        new ThawError(
          'THAW_CLUSTER_START',
          `The process ${spec.name} ${why}.${lastWords(logFile)} Its log is ${logFile}.`,
        ),
      );
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      fail(`was not ready after ${readyTimeoutMs / 1000} s`);
    }, readyTimeoutMs);
    child.once('error', (error) => fail(`could not be started (${error.message})`));
    void exited.then(({ code, signal }) => {
      clearTimeout(timer);
      fail(`ended before it was ready (${signal ?? `exit code ${code}`})`);
    });
    lines.on('line', (line) => {
      const value = readyLine(line);
      if (value === undefined) return void writeSync(log, `${line}\n`);
      clearTimeout(timer);
      resolve(value);
    });
  });
  child.once('close', () => closeSync(log));
  return {
    name: spec.name,
    pid: child.pid!,
    ready,
    exited,
    async stop(graceMs = 8000) {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), graceMs);
      await exited;
      clearTimeout(timer);
    },
  };
}
