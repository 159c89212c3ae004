/** Beats on the event loop of this process for {@link EventLoopProgress}. */
import { EventLoopProgress } from '../health.js';
import type { Health } from '../health.js';

/**
 * Adds the live check "event-loop" to `health`.
 * Returns a function that stops the beat. The beat does not keep the process alive.
 */
export function watchEventLoop(
  health: Health,
  { intervalMs = 250, limitMs = 5000, windowMs = 15_000 } = {},
): () => void {
  const progress = new EventLoopProgress({ intervalMs, limitMs, windowMs, nowMs: performance.now() });
  const handle = setInterval(() => progress.beat(performance.now()), intervalMs);
  handle.unref();
  health.register('event-loop', 'live', progress.check);
  return () => {
    clearInterval(handle);
    health.remove('event-loop');
  };
}
