import { describe, expect, it } from 'vitest';
import { loadConfig } from '@thaw/shared/runtime';
import { SamplerConfigSchema } from './config.js';

const load = (env: Record<string, string>): unknown =>
  loadConfig({ schema: SamplerConfigSchema, env: { THAW_STORE_URL: 'file:///store', ...env } });

describe('the configuration', () => {
  it('needs nothing but a store, and is closed', () => {
    expect(load({})).toMatchObject({ host: '127.0.0.1', port: 0, channel: 'latest', workers: 1, allowedHosts: [] });
  });
  it('reads lists and numbers from the environment', () => {
    const env = { THAW_BATCH_SIZES: '2,16', THAW_ALLOWED_ORIGINS: 'https://a.example', THAW_MAX_QUEUED_ROWS: '12' };
    expect(load(env)).toMatchObject({ batchSizes: [2, 16], allowedOrigins: ['https://a.example'], maxQueuedRows: 12 });
  });
  it('names every problem at once, and settings that do not exist', () => {
    const env = {
      THAW_CHANNEL: 'nonsense',
      THAW_BATCH_SIZES: '1',
      THAW_TOKEN: 'short',
      THAW_ENGINE: 'quantum',
      THAW_MAX_QUEUD_ROWS: '3',
    };
    expect(() => load(env)).toThrow(
      /(?=.*channel)(?=.*batchSizes)(?=.*token)(?=.*engine: .*tfjs-wasm)(?=.*THAW_MAX_QUEUED_ROWS)/s,
    );
  });
});
