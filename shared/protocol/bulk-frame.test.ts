import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeFrame, encodeFrame, frame, sumsOf, type BulkFrame } from './bulk-frame.js';
import { runHash, sha256Hex } from './digests.js';
import { ThawError } from './errors.js';

fc.configureGlobal({ seed: 2208_09392 });

const hex = (digits: number) => fc.stringMatching(new RegExp(`^[0-9a-f]{${digits}}$`));
const u32 = fc.integer({ min: 0, max: 0xffffffff });
const exponents = fc.uint8Array({ minLength: 1, maxLength: 40 }).map((bytes) => Int8Array.from(bytes));
const sums = fc
  .int32Array({ minLength: 1, maxLength: 60 })
  .map((values) => new Uint8Array(Int32Array.from(values).buffer));
const items = fc.array(u32, { minLength: 1, maxLength: 9 });
const losses = fc.array(fc.record({ lane: u32, loss: fc.float({ noDefaultInfinity: true }) }), { maxLength: 6 });

const bodies: fc.Arbitrary<Pick<BulkFrame, 'type' | 'kind'> & Partial<BulkFrame>> = fc.oneof(
  fc.record({
    type: fc.constant('contribution' as const),
    kind: fc.constant('sum' as const),
    data: sums,
    losses,
    exponentsDigest: hex(16),
  }),
  fc.record({ type: fc.constant('contribution' as const), kind: fc.constant('needs' as const), exponents }),
  fc.record({ type: fc.constant('contribution' as const), kind: fc.constant('nonfinite' as const), items }),
  fc.record({ type: fc.constant('raise' as const), kind: fc.constant('none' as const), exponents, chunk: u32 }),
  fc.record({ type: fc.constant('total' as const), kind: fc.constant('sum' as const), exponents, data: sums, losses }),
  fc.record({ type: fc.constant('total' as const), kind: fc.constant('skip' as const), items }),
  fc.record({ type: fc.constant('want' as const), kind: fc.constant('wantTotal' as const), items, chunk: u32 }),
  fc.record({ type: fc.constant('want' as const), kind: fc.constant('wantState' as const) }),
  fc.record({ type: fc.constant('offer' as const), kind: fc.constant('none' as const) }),
  fc.record({ type: fc.constant('request' as const), kind: fc.constant('none' as const), count: u32, chunk: u32 }),
  fc.record({
    type: fc.constant('range' as const),
    kind: fc.constant('none' as const),
    data: fc.uint8Array({ minLength: 1, maxLength: 99 }),
    dataDigest: hex(64),
  }),
);
const frames = fc
  .tuple(
    bodies,
    fc.record({
      run: hex(16),
      source: fc.constantFrom('a0', 'trainer-0-00ff', 'x'.repeat(96)),
      step: u32,
      generation: u32,
      historyDigest: hex(64),
    }),
  )
  .map(([body, common]) => frame({ ...common, ...body }));

const join = (parts: readonly Uint8Array[], offset = 0): Uint8Array => {
  const whole = new Uint8Array(offset + parts.reduce((n, part) => n + part.byteLength, 0));
  let at = offset;
  for (const part of parts) {
    whole.set(part, at);
    at += part.byteLength;
  }
  return whole.subarray(offset);
};
const plain = (f: BulkFrame): unknown => ({ ...f, exponents: [...f.exponents], data: [...f.data] });

describe('bulk frames', () => {
  it('come back as they were sent, at any alignment', () => {
    fc.assert(
      fc.property(frames, fc.integer({ min: 0, max: 3 }), (f, offset) => {
        const back = decodeFrame(join(encodeFrame(f), offset));
        expect(plain(back)).toEqual(plain(f));
        expect(back.data.byteOffset % 4).toBe(0);
        if (f.kind === 'sum') expect(sumsOf(back).length).toBe(f.data.byteLength / 4);
      }),
    );
  });

  it('hand the sums over without a copy on both sides', () => {
    const sent = new Uint8Array(Int32Array.of(1, -2, 3).buffer);
    const parts = encodeFrame(
      frame({ type: 'contribution', kind: 'sum', run: runHash('r'), source: 'a-1', step: 3, data: sent }),
    );
    expect(parts[1]).toBe(sent);
    const bytes = join(parts);
    expect(decodeFrame(bytes).data.buffer).toBe(bytes.buffer);
  });

  it('refuse random bytes and damaged frames with a code, never otherwise', () => {
    const refusedOrRead = (bytes: Uint8Array): void => {
      try {
        decodeFrame(bytes);
      } catch (error) {
        expect(error).toBeInstanceOf(ThawError);
        expect((error as ThawError).code).toBe('THAW_PROTOCOL_INVALID');
      }
    };
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
        expect(() => decodeFrame(bytes)).toThrow(ThawError);
      }),
    );
    fc.assert(
      fc.property(frames, fc.nat(), fc.nat(255), (f, at, value) => {
        const bytes = join(encodeFrame(f));
        bytes[at % Math.min(bytes.length, 160)] = value;
        refusedOrRead(bytes);
      }),
    );
    fc.assert(
      fc.property(frames, fc.nat(), (f, length) => {
        const bytes = join(encodeFrame(f));
        expect(() => decodeFrame(bytes.subarray(0, length % bytes.length))).toThrow(ThawError);
        expect(() => decodeFrame(join([bytes, new Uint8Array(1)]))).toThrow(ThawError);
      }),
    );
  });

  it('refuse lengths that would run past the end or wrap around', () => {
    const bytes = join(
      encodeFrame(
        frame({
          type: 'total',
          kind: 'sum',
          run: runHash('r'),
          source: 'a-1',
          step: 0,
          exponents: Int8Array.of(1),
          data: new Uint8Array(8),
        }),
      ),
    );
    for (const field of [24, 28, 32, 36])
      for (const value of [0xffffffff, 0x80000000, 0x7ffffffc]) {
        const bad = bytes.slice();
        new DataView(bad.buffer).setUint32(field, value, true);
        expect(() => decodeFrame(bad)).toThrow(ThawError);
      }
  });

  it('cannot be sent with sections that do not belong to them', () => {
    const base = { run: runHash('r'), source: 'a-1', step: 0 };
    expect(() => encodeFrame(frame({ ...base, type: 'offer', kind: 'none', items: [1] }))).toThrow(/carries no items/);
    expect(() => encodeFrame(frame({ ...base, type: 'contribution', kind: 'sum' }))).toThrow(/carries data/);
    expect(() => encodeFrame(frame({ ...base, type: 'total', kind: 'none' }))).toThrow(/does not exist/);
    expect(() =>
      encodeFrame(
        frame({ ...base, type: 'total', kind: 'skip', chunk: 1, items: [0], losses: [{ lane: 0, loss: 1 }] }),
      ),
    ).toThrow(/chunk 0 only/);
  });
});

describe('digests', () => {
  it('are SHA-256', () => {
    expect(sha256Hex('abc')).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
    expect(runHash('a')).toMatch(/^[0-9a-f]{16}$/);
    expect(runHash('a')).not.toBe(runHash('b'));
  });
});
