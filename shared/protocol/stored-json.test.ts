import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { decodeJson } from './stored-json.js';

const schema = z.strictObject({ step: z.int() });
const read = (bytes: Uint8Array): unknown => decodeJson(bytes, schema, 'THAW_PRIOR_INVALID', 'The thing');
const text = (value: string): Uint8Array => new TextEncoder().encode(value);

describe('decodeJson', () => {
  it('gives what the schema allows', () => {
    expect(read(text('{"step":3}\n'))).toEqual({ step: 3 });
  });

  it.each([
    ['nothing', text('')],
    ['a torn document', text('{"step":')],
    ['bytes that are no UTF-8', Uint8Array.of(0x22, 0xff, 0x22)],
  ])('refuses %s', (_, bytes) => {
    expect(() => read(bytes)).toThrow(
      expect.objectContaining({ code: 'THAW_PRIOR_INVALID', message: 'The thing is not JSON.' }),
    );
  });

  it('names the field that does not fit, in a sentence of limited length', () => {
    expect(() => read(text('{"step":"three"}'))).toThrow(/^The thing is not as it should be: .*expected number.*step/s);
    const unknown = Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`field${i}`, i]));
    expect(() => read(text(JSON.stringify(unknown)))).toThrow(
      expect.objectContaining({ message: expect.toSatisfy((message: string) => message.length < 2100) }),
    );
  });
});
