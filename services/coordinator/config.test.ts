import { loadConfig } from '@thaw/shared/runtime';
import { describe, expect, test } from 'vitest';
import { CoordinatorConfigSchema } from './config.js';

const load = (env: Record<string, string>): unknown =>
  loadConfig({
    schema: CoordinatorConfigSchema,
    env: { THAW_STORE_URL: 'file:///store', THAW_NATS_URL: 'nats://127.0.0.1:4222', THAW_RUN: 'small', ...env },
  });

describe('the configuration of gates', () => {
  test('no channel is gated unless one is named', () => {
    expect(load({})).not.toHaveProperty('gatedChannel');
    const env = { THAW_GATED_CHANNEL: 'stable', THAW_GATE_MARGIN: '0.1' };
    expect(load(env)).toMatchObject({ channel: 'latest', gatedChannel: 'stable', gateMargin: 0.1 });
  });

  test.each<[string, Record<string, string>, RegExp]>([
    ['the automatic channel', { THAW_GATED_CHANNEL: 'latest' }, /gatedChannel.*another than `channel`/s],
    ['without images', { THAW_GATED_CHANNEL: 'stable', THAW_EVALUATION_IMAGES: '0' }, /evaluationImages.*at least 1/s],
    ['a negative margin', { THAW_GATED_CHANNEL: 'stable', THAW_GATE_MARGIN: '-0.1' }, /gateMargin/],
  ])('refused: %s', (_what, env, problem) => {
    expect(() => load(env)).toThrow(problem);
  });
});
