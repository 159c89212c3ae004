import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { z } from 'zod';
import { loadProcessConfig } from './process-config.js';

const folder = mkdtempSync(join(tmpdir(), 'thaw-config-'));
afterAll(() => rmSync(folder, { recursive: true }));
const schema = z.strictObject({ natsUrl: z.string(), workers: z.int().default(1) });

test('variables stand above the file that THAW_CONFIG names', () => {
  const file = join(folder, 'trainer.yaml');
  writeFileSync(file, 'natsUrl: nats://file\nworkers: 3\n');
  expect(loadProcessConfig(schema, { THAW_CONFIG: file, THAW_WORKERS: '4' })).toEqual({
    natsUrl: 'nats://file',
    workers: 4,
  });
  expect(loadProcessConfig(schema, { THAW_NATS_URL: 'nats://env' })).toEqual({ natsUrl: 'nats://env', workers: 1 });
});

test('a missing file, and every problem of a present one, is told in one error', () => {
  expect(() => loadProcessConfig(schema, { THAW_CONFIG: join(folder, 'none.yaml') })).toThrow(
    /none\.yaml.*cannot be read/,
  );
  const file = join(folder, 'bad.yaml');
  writeFileSync(file, 'workers: many\nnatsURL: x\n');
  expect(() => loadProcessConfig(schema, { THAW_CONFIG: file })).toThrow(/3 problems[\s\S]*workers[\s\S]*natsURL/);
});
