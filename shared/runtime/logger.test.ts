import { describe, expect, it } from 'vitest';
import { ThawError } from '@thaw/shared/protocol';
import { createLogger } from './logger.js';
import type { LoggerOptions } from './logger.js';

function capture(options: Partial<LoggerOptions> = {}) {
  const lines: string[] = [];
  const logger = createLogger({
    service: 'trainer',
    level: 'info',
    destination: { write: (line) => void lines.push(line) },
    ...options,
  });
  return { logger, lines, parsed: () => lines.map((line) => JSON.parse(line) as Record<string, unknown>) };
}

describe('createLogger', () => {
  it('writes one JSON object a line, with service, level, time and fields', () => {
    const { logger, lines, parsed } = capture({ fields: { run: 'digits' } });
    logger.child({ lane: 3 }).info('Lane done', { tookMs: 12 });
    logger.debug('not shown');
    expect(lines).toHaveLength(1);
    expect(lines[0]!.endsWith('\n')).toBe(true);
    expect(parsed()[0]).toMatchObject({
      level: 'info',
      service: 'trainer',
      run: 'digits',
      lane: 3,
      tookMs: 12,
      message: 'Lane done',
    });
    expect(Date.parse(parsed()[0]!['time'] as string)).not.toBeNaN();
  });

  it('lets no secret through, wherever it stands', () => {
    const secret = 's3cr3t-value';
    const { logger, lines } = capture();
    logger.child({ authToken: secret }).info(`connecting to nats://user:${secret}@host:4222 with Bearer ${secret}`, {
      token: secret,
      nested: [{ password: secret, url: `http://host/x?token=${secret}&y=1` }],
      headers: { Authorization: `Bearer ${secret}` },
      map: new Map([['k', { secretAccessKey: secret }]]),
      err: new Error(`refused nats://${secret}@host`, { cause: new ThawError('THAW_INTERNAL', `token=${secret}`) }),
    });
    expect(lines).toHaveLength(1);
    expect(lines[0]).not.toContain(secret);
    expect(lines[0]).toContain('@host:4222');
  });

  it('shows errors with code, message and cause, and large arrays by size', () => {
    const { logger, parsed } = capture();
    const err = new ThawError('THAW_DATA_CORRUPT', 'The shard x is torn.', {
      details: { shard: 'x' },
      cause: new RangeError('inner'),
    });
    logger.error('Reading failed', { err, bytes: new Uint8Array(1000) });
    expect(parsed()[0]).toMatchObject({
      err: {
        code: 'THAW_DATA_CORRUPT',
        message: 'The shard x is torn.',
        details: { shard: 'x' },
        cause: { name: 'RangeError', message: 'inner' },
      },
      bytes: '[1000 bytes]',
    });
  });

  it('survives objects that contain themselves', () => {
    const { logger, lines } = capture();
    const loop: Record<string, unknown> = {};
    loop['self'] = loop;
    logger.warn('loop', { loop });
    expect(lines).toHaveLength(1);
  });
});
