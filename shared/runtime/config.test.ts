import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { ThawError } from '@thaw/shared/protocol';
import { loadConfig } from './config.js';
import type { ConfigProblem, LoadConfigOptions } from './config.js';

const schema = z.strictObject({
  natsUrl: z.url().optional(),
  lanes: z.int().min(1).default(4),
  dryRun: z.boolean().default(false),
  engine: z.enum(['auto', 'onnx-cpu']).default('auto'),
  tags: z.array(z.string()).default([]),
  sizes: z.array(z.int()).default([]),
  limit: z.union([z.literal('none'), z.number()]).optional(),
  http: z
    .strictObject({ host: z.string().default('127.0.0.1'), port: z.int().min(0).max(65_535).default(0) })
    .prefault({}),
});

const load = (options: Partial<LoadConfigOptions<typeof schema>>) => loadConfig({ schema, env: {}, ...options });
function problemsOf(options: Partial<LoadConfigOptions<typeof schema>>): readonly ConfigProblem[] {
  try {
    load(options);
  } catch (error) {
    if (error instanceof ThawError && error.code === 'THAW_CONFIG_INVALID')
      return error.details!['problems'] as ConfigProblem[];
    throw error;
  }
  throw new Error('expected THAW_CONFIG_INVALID');
}

describe('loadConfig', () => {
  it('takes defaults, then YAML, then the environment, then options', () => {
    expect(load({})).toMatchObject({ lanes: 4, http: { host: '127.0.0.1', port: 0 } });
    const yamlText = 'lanes: 2\nengine: onnx-cpu\nhttp: { host: "::1", port: 1 }';
    const env = { THAW_LANES: '3', THAW_HTTP__PORT: '2', PATH: '/bin' };
    expect(load({ yamlText, env, overrides: { http: { port: 3 }, lanes: undefined } })).toMatchObject({
      lanes: 3,
      engine: 'onnx-cpu',
      http: { host: '::1', port: 3 },
    });
  });

  it('reads numbers, booleans, lists and unions from text', () => {
    const env = {
      THAW_NATS_URL: 'nats://127.0.0.1:4222',
      THAW_DRY_RUN: 'true',
      THAW_TAGS: 'a, b',
      THAW_SIZES: '[1, 2]',
      THAW_LIMIT: '1.5',
      THAW_ENGINE: '',
    };
    expect(load({ env })).toMatchObject({
      natsUrl: env.THAW_NATS_URL,
      dryRun: true,
      tags: ['a', 'b'],
      sizes: [1, 2],
      limit: 1.5,
      engine: 'auto',
    });
    expect(load({ env: { THAW_LIMIT: 'none', THAW_SIZES: '3,4' } })).toMatchObject({ limit: 'none', sizes: [3, 4] });
  });

  it('reports every problem at once, each with its field and where it came from', () => {
    const problems = problemsOf({
      yamlText: 'lanes: many\nhttp: { prot: 80 }\nextra: 1',
      env: { THAW_HTTP__PORT: 'eighty', THAW_NATS_ULR: 'nats://x', THAW_DRY_RUN: 'perhaps' },
      overrides: { engine: 'steam' },
    });
    expect(Object.fromEntries(problems.map(({ path, source }) => [path, source]))).toEqual({
      THAW_NATS_ULR: 'environment',
      lanes: 'yaml',
      dryRun: 'environment',
      engine: 'options',
      'http.port': 'environment',
      'http.prot': 'yaml',
      extra: 'yaml',
    });
    expect(problems.find(({ path }) => path === 'THAW_NATS_ULR')!.message).toContain('THAW_NATS_URL');
    expect(problems.find(({ path }) => path === 'http.port')!.message).toContain('THAW_HTTP__PORT');
  });

  it('accepts variables of other processes and those it is told of, and no others', () => {
    const other = z.strictObject({ sampler: z.strictObject({ queueLength: z.int() }) });
    const env = {
      THAW_SAMPLER__QUEUE_LENGTH: '5',
      THAW_LOG_LEVEL: 'debug',
      THAW_TEST_S3_URL: 'x',
      THAW_BENCH_CORES: '2',
    };
    expect(problemsOf({ env }).map(({ path }) => path)).toEqual(['THAW_BENCH_CORES', 'THAW_SAMPLER__QUEUE_LENGTH']);
    expect(load({ env, otherSchemas: [other], knownEnv: ['THAW_BENCH_*'] })).toMatchObject({ lanes: 4 });
  });

  it.each([
    ['a: [1', 'torn'],
    ['lanes: 1\nlanes: 2', 'a key twice'],
    ['- 1\n- 2', 'a list'],
    ['just text', 'a text'],
  ])('answers bad YAML with a problem: %j (%s)', (yamlText) => {
    expect(problemsOf({ yamlText })[0]).toMatchObject({ path: '(yaml)', source: 'yaml' });
  });

  it('is not fooled by aliases that explode or by __proto__', () => {
    const bomb = [
      'a: &a [x, x, x, x, x, x, x, x, x]',
      ...'bcdefgh'.split('').map((name, i) => `${name}: &${name} [${Array(9).fill(`*${'abcdefgh'[i]}`).join(',')}]`),
    ].join('\n');
    expect(problemsOf({ yamlText: bomb })[0]!.path).toBe('(yaml)');
    expect(problemsOf({ yamlText: '__proto__: { polluted: true }' })[0]!.path).toContain('__proto__');
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
  });
});
