import { ThawError } from '@thaw/shared/protocol';
import { describe, expect, it } from 'vitest';
import { decodeReplyError, encodeReplyError } from './reply-error.js';

describe('errors in replies', () => {
  it('keep code, sentence, cure and details', () => {
    const error = new ThawError('THAW_DATA_NOT_LEASED', 'Shard 3 is not yours.', {
      cure: 'Ask.',
      details: { shard: 3 },
    });
    const back = decodeReplyError(encodeReplyError(error).body);
    expect(back.toBody()).toEqual(error.toBody());
  });
  it('show nothing of other errors', () => {
    const { code, body } = encodeReplyError(new Error('password is hunter2'));
    expect(code).toBe('THAW_INTERNAL');
    expect(Buffer.from(body).toString()).not.toContain('hunter2');
  });
  it.each([
    '',
    '{',
    'null',
    '3',
    '{"code":"toString","message":"x"}',
    '{"code":"THAW_NOPE","message":"x"}',
    '{"code":"THAW_INTERNAL","message":3}',
  ])('from a stranger (%j) become THAW_INTERNAL', (body) => {
    expect(decodeReplyError(Buffer.from(body)).code).toBe('THAW_INTERNAL');
  });
});
