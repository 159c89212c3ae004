/** The edge between the operating system's signals and the lifecycle. */
import type { Lifecycle } from '../lifecycle.js';

const signals = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;

/** Hands SIGTERM, SIGINT and SIGHUP to `lifecycle`. Returns a function that stops doing so. */
export function attachSignals(lifecycle: Lifecycle): () => void {
  const handler = (signal: NodeJS.Signals): void => lifecycle.onSignal(signal);
  for (const signal of signals) process.on(signal, handler);
  return () => {
    for (const signal of signals) process.off(signal, handler);
  };
}
