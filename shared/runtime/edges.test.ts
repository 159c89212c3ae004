/** The small edges: bind guard, metrics, built files, signals. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import { builtFile } from './built-file.js';
import { Health } from './health.js';
import { attachSignals } from './io/signals.js';
import { watchEventLoop } from './io/event-loop.js';
import { Lifecycle } from './lifecycle.js';
import { assertBindAllowed, isLoopback } from './listen-guard.js';
import { silentLogger } from './logger.js';
import { Metrics } from './metrics.js';
import { VirtualClock } from './virtual-clock.js';

describe('assertBindAllowed', () => {
  it.each(['127.0.0.1', '127.8.9.10', 'localhost', '::1', '[::1]', '::ffff:127.0.0.1'])(
    'allows %s without a credential',
    (host) => {
      expect(() => assertBindAllowed({ host, hasCredential: false, what: 'The API' })).not.toThrow();
    },
  );
  it.each([
    '0.0.0.0',
    '::',
    '',
    '10.0.0.1',
    '127.0.0.1.example.org',
    '1270.0.0.1',
    '127.0.0.256',
    'localhost.example.org',
    '127.0.0',
  ])('refuses "%s" without one', (host) => {
    expect(isLoopback(host)).toBe(false);
    expect(() => assertBindAllowed({ host, hasCredential: false, what: 'The API' })).toThrow(
      expect.objectContaining({ code: 'THAW_BIND_REFUSED' }),
    );
    expect(() => assertBindAllowed({ host, hasCredential: true, what: 'The API' })).not.toThrow();
  });
});

describe('Metrics', () => {
  it('renders what was counted under the prefix, with the service', async () => {
    const metrics = new Metrics({ service: 'trainer', processMetrics: false });
    metrics.counter('steps_total', { help: 'Steps.', labels: ['outcome'] }).inc({ outcome: 'done' }, 2);
    metrics.histogram('step_seconds', { help: 'Step.', buckets: [1] }).observe(0.5);
    metrics.gauge('lanes', { help: 'Lanes.' }).set(4);
    const text = await metrics.render();
    expect(text).toContain('thaw_steps_total{outcome="done",service="trainer"} 2');
    expect(text).toContain('thaw_step_seconds_bucket{le="1",service="trainer"} 1');
    expect(text).toContain('thaw_lanes{service="trainer"} 4');
  });
});

describe('builtFile', () => {
  it('maps a source module to the build, and a built one to its own folder', async () => {
    const root = await mkdtemp(join(tmpdir(), 'thaw-built-'));
    try {
      await mkdir(join(root, 'dist', 'a'), { recursive: true });
      await writeFile(join(root, 'package.json'), '{}');
      await writeFile(join(root, 'dist', 'a', 'worker.js'), '');
      const built = join(root, 'dist', 'a', 'worker.js');
      expect(fileURLToPath(builtFile(pathToFileURL(join(root, 'a', 'pool.ts')).href, './worker.js'))).toBe(built);
      expect(fileURLToPath(builtFile(pathToFileURL(join(root, 'dist', 'a', 'pool.js')).href, './worker.js'))).toBe(
        built,
      );
      expect(() => builtFile(pathToFileURL(join(root, 'a', 'pool.ts')).href, './missing.js')).toThrow('missing.js');
    } finally {
      await rm(root, { recursive: true });
    }
  });
});

describe('process edges', () => {
  it('hands signals to the lifecycle until detached', async () => {
    const exits: number[] = [];
    const lifecycle = new Lifecycle({
      clock: new VirtualClock(),
      logger: silentLogger,
      deadlineMs: 1000,
      exit: (code) => exits.push(code),
    });
    const before = process.listenerCount('SIGTERM');
    const detach = attachSignals(lifecycle);
    process.emit('SIGTERM', 'SIGTERM');
    await lifecycle.drain('');
    await Promise.resolve();
    expect([exits, lifecycle.stopping.reason]).toEqual([[0], 'SIGTERM']);
    detach();
    expect(process.listenerCount('SIGTERM')).toBe(before);
  });

  it('watches the event loop', () => {
    const health = new Health();
    const stop = watchEventLoop(health);
    expect(health.report(performance.now())).toMatchObject({ live: true });
    expect(health.report(performance.now() + 60_000)).toMatchObject({ live: false });
    stop();
    expect(health.report(0).checks).toEqual([]);
  });
});
