/** A broker process that we start: its own process group (Ctrl-C is for us to handle), ended with us at the latest. */
import { spawn, type ChildProcess } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';

export interface BrokerChild {
  readonly process: ChildProcess;
  /** Lines of its standard output, as they come. */
  onLine(listener: (line: string) => void): void;
  /** The end of what it wrote to standard error. */
  errorTail(): string;
  readonly exited: Promise<void>;
  /** From here on it does not keep us alive: when we end, its stdin does, and so it does. Call once it is ready. */
  letGo(): void;
  /** Asks it to end by closing its stdin; `kill` is the last resort. */
  stop(kill: () => void): Promise<void>;
}

const stopGraceMs = 3000;

export function spawnBroker(command: string, args: readonly string[], env: NodeJS.ProcessEnv): BrokerChild {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'], detached: true, env });
  const [stdin, stdout, stderr] = child.stdio as unknown as [Writable, Readable, Readable];
  const exited = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
    child.once('error', () => resolve());
  });
  let tail = '';
  stderr.setEncoding('utf8').on('data', (text: string) => (tail = (tail + text).slice(-2000)));
  const listeners: ((line: string) => void)[] = [];
  let partial = '';
  stdout.setEncoding('utf8').on('data', (text: string) => {
    const lines = (partial + text).split('\n');
    partial = lines.pop()!;
    for (const line of lines) for (const listener of listeners) listener(line);
  });
  stdin.on('error', () => undefined); // it may be gone already
  return {
    process: child,
    letGo() {
      child.unref();
      for (const stream of [stdin, stdout, stderr]) (stream as unknown as { unref?: () => void }).unref?.();
    },
    exited,
    errorTail: () => tail.trim(),
    onLine: (listener) => void listeners.push(listener),
    async stop(kill) {
      child.ref();
      stdin.end();
      const timer = setTimeout(kill, stopGraceMs);
      await exited;
      clearTimeout(timer);
      stdin.destroy();
    },
  };
}
