import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ThawError } from '../../protocol/index.js';
import { decodeSafetensors, decodeSafetensorsHeader, encodeSafetensors, safetensorsHeaderEnd } from './codec.js';
import type { Dtype, Tensor } from './tensor.js';
import { dtypes } from './tensor.js';

/** A file with this header, written by hand. */
function file(header: unknown, dataBytes: number, pad = 0): Uint8Array {
  const text = typeof header === 'string' ? header : JSON.stringify(header);
  const encoded = new TextEncoder().encode(text + ' '.repeat(pad));
  const bytes = new Uint8Array(8 + encoded.byteLength + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(encoded.byteLength), true);
  bytes.set(encoded, 8);
  return bytes;
}

const tensor: fc.Arbitrary<Tensor> = fc
  .record({
    dtype: fc.constantFrom(...(Object.keys(dtypes) as Dtype[])),
    shape: fc.array(fc.nat(4), { maxLength: 4 }),
    seed: fc.nat(255),
  })
  .map(({ dtype, shape, seed }) => {
    const count = shape.reduce((product, size) => product * size, 1);
    const { bytes, array } = dtypes[dtype];
    const raw = Uint8Array.from({ length: count * bytes }, (_, index) => (index * 37 + seed) & 255);
    return { dtype, shape, data: new array(raw.buffer, 0, count) };
  });
const name = fc.oneof(
  fc.string({ maxLength: 12 }).filter((text) => text !== '__metadata__'),
  fc.constantFrom('__proto__', 'constructor', 'toString', '0', 'weights/downs.0.0.conv.weight'),
);
const bytesOf = ({ data }: Tensor): Uint8Array => new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

describe('safetensors', () => {
  test('returns what was encoded, at any alignment', () => {
    const tensors = fc.uniqueArray(fc.tuple(name, tensor), { maxLength: 6, selector: ([key]) => key });
    fc.assert(
      fc.property(
        tensors,
        fc.dictionary(fc.string({ maxLength: 5 }), fc.string({ maxLength: 5 })),
        fc.nat(9),
        (entries, metadata, shift) => {
          const encoded = encodeSafetensors(Object.fromEntries(entries), metadata);
          const shifted = new Uint8Array(encoded.byteLength + shift).subarray(shift);
          shifted.set(encoded);
          const decoded = decodeSafetensors(shifted);
          expect(Object.keys(decoded.tensors).sort()).toEqual(entries.map(([key]) => key).sort());
          for (const [key, { dtype, shape, data }] of entries) {
            const got = decoded.tensors[key]!;
            expect([got.dtype, got.shape, bytesOf(got)]).toEqual([dtype, shape, bytesOf({ dtype, shape, data })]);
          }
          expect(Object.entries(decoded.metadata).sort()).toEqual(Object.entries(metadata).sort());
        },
      ),
    );
  });

  test('equal content gives equal bytes, in whatever order it is given', () => {
    const a: Tensor = { dtype: 'F32', shape: [2], data: Float32Array.of(1, 2) };
    const b: Tensor = { dtype: 'U8', shape: [3], data: Uint8Array.of(1, 2, 3) };
    expect(encodeSafetensors({ a, b }, { x: '1', y: '2' })).toEqual(encodeSafetensors({ b, a }, { y: '2', x: '1' }));
  });

  test('writes the bytes that the format says', () => {
    const encoded = encodeSafetensors({ x: { dtype: 'F32', shape: [1, 2], data: Float32Array.of(1, -2) } });
    const header = '{"x":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}}';
    expect(encoded.byteLength).toBe(8 + 56 + 8);
    expect(new TextDecoder().decode(encoded.subarray(8, 8 + 56))).toBe(header.padEnd(56));
    expect([...encoded.subarray(0, 8)]).toEqual([56, 0, 0, 0, 0, 0, 0, 0]);
    expect([...encoded.subarray(64)]).toEqual([0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0]);
  });

  test('random bytes are refused with a sentence, never with a crash', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        expectRefusedOrValid(bytes);
      }),
      { numRuns: 500 },
    );
  });

  test('so are valid files with one changed byte, or cut off, or with more behind', () => {
    const valid = encodeSafetensors(
      {
        a: { dtype: 'F32', shape: [3], data: Float32Array.of(1, 2, 3) },
        b: { dtype: 'U8', shape: [2, 2], data: new Uint8Array(4) },
      },
      { step: '7' },
    );
    fc.assert(
      fc.property(fc.nat(valid.byteLength - 1), fc.nat(255), (position, value) => {
        const changed = valid.slice();
        changed[position] = value;
        expectRefusedOrValid(changed);
      }),
      { numRuns: 2000 },
    );
    for (let length = 0; length < valid.byteLength; length += 1)
      expect(() => decodeSafetensors(valid.subarray(0, length))).toThrow(ThawError);
    expect(() => decodeSafetensors(Uint8Array.of(...valid, 0))).toThrow(ThawError);
  });

  test.each<[string, Uint8Array]>([
    [
      'a header longer than the file',
      (() => {
        const bytes = file({}, 0);
        bytes[0] = 200;
        return bytes;
      })(),
    ],
    ['a header of 2^63 bytes', Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0x80, 0x7b, 0x7d)],
    ['a header that is an array', file('[]', 0)],
    ['a header that is not JSON', file('{"a":', 0)],
    [
      'a header that is not UTF-8',
      (() => {
        const bytes = file('{"a":1}', 0);
        bytes[10] = 0xff;
        return bytes;
      })(),
    ],
    ['an unknown dtype', file({ a: { dtype: 'F31', shape: [1], data_offsets: [0, 4] } }, 4)],
    ['a dtype from the prototype', file({ a: { dtype: 'constructor', shape: [1], data_offsets: [0, 4] } }, 4)],
    ['a negative size', file({ a: { dtype: 'U8', shape: [-1, -4], data_offsets: [0, 4] } }, 4)],
    ['a fractional size', file({ a: { dtype: 'U8', shape: [0.5, 8], data_offsets: [0, 4] } }, 4)],
    ['a shape that overflows', file({ a: { dtype: 'U8', shape: [2 ** 32, 2 ** 32], data_offsets: [0, 0] } }, 0)],
    ['a shape of texts', file({ a: { dtype: 'U8', shape: ['4'], data_offsets: [0, 4] } }, 4)],
    [
      'a shape of too many dimensions',
      file({ a: { dtype: 'U8', shape: new Array(40).fill(1), data_offsets: [0, 1] } }, 1),
    ],
    ['fewer bytes than the shape needs', file({ a: { dtype: 'F32', shape: [2], data_offsets: [0, 4] } }, 4)],
    ['offsets backwards', file({ a: { dtype: 'U8', shape: [4], data_offsets: [4, 0] } }, 4)],
    ['offsets beyond the file', file({ a: { dtype: 'U8', shape: [8], data_offsets: [0, 8] } }, 4)],
    ['one offset', file({ a: { dtype: 'U8', shape: [4], data_offsets: [4] } }, 4)],
    [
      'an overlap',
      file(
        { a: { dtype: 'U8', shape: [4], data_offsets: [0, 4] }, b: { dtype: 'U8', shape: [4], data_offsets: [2, 6] } },
        6,
      ),
    ],
    [
      'a hole',
      file(
        { a: { dtype: 'U8', shape: [2], data_offsets: [0, 2] }, b: { dtype: 'U8', shape: [2], data_offsets: [4, 6] } },
        6,
      ),
    ],
    ['bytes that no tensor owns', file({ a: { dtype: 'U8', shape: [2], data_offsets: [0, 2] } }, 6)],
    ['an unknown property', file({ a: { dtype: 'U8', shape: [2], data_offsets: [0, 2], code: 'x' } }, 2)],
    ['metadata that is not text', file({ __metadata__: { a: 1 } }, 0)],
    ['a tensor that is null', file({ a: null }, 0)],
  ])('refuses %s', (_what, bytes) => {
    expect(() => decodeSafetensors(bytes)).toThrow(
      expect.objectContaining({ code: 'THAW_SAFETENSORS_INVALID' }) as Error,
    );
  });

  test('reads a header without the data', () => {
    const encoded = encodeSafetensors(
      { a: { dtype: 'F32', shape: [3], data: Float32Array.of(1, 2, 3) } },
      { step: '7' },
    );
    const end = safetensorsHeaderEnd(encoded.subarray(0, 8), encoded.byteLength);
    const header = decodeSafetensorsHeader(encoded.subarray(0, end), encoded.byteLength);
    expect(header).toMatchObject({
      metadata: { step: '7' },
      dataOffset: end,
      places: [{ name: 'a', begin: 0, end: 12 }],
    });
    expect(() => decodeSafetensorsHeader(encoded.subarray(0, end - 1), encoded.byteLength)).toThrow(ThawError);
  });

  test('refuses to encode what does not fit together', () => {
    const wrong: Tensor[] = [
      { dtype: 'F32', shape: [3], data: Float32Array.of(1, 2) },
      { dtype: 'F32', shape: [2], data: Int32Array.of(1, 2) },
      { dtype: 'F16' as Dtype, shape: [2], data: Int32Array.of(1, 2) },
      { dtype: 'U8', shape: [-1], data: new Uint8Array(0) },
    ];
    for (const bad of wrong) expect(() => encodeSafetensors({ bad })).toThrow(ThawError);
    expect(() => encodeSafetensors({ __metadata__: { dtype: 'U8', shape: [0], data: new Uint8Array() } })).toThrow(
      ThawError,
    );
  });
});

function expectRefusedOrValid(bytes: Uint8Array): void {
  let decoded;
  try {
    decoded = decodeSafetensors(bytes);
  } catch (error) {
    expect(error).toBeInstanceOf(ThawError);
    return;
  }
  for (const { dtype, shape, data } of Object.values(decoded.tensors)) {
    expect(data).toBeInstanceOf(dtypes[dtype].array);
    expect(data.length).toBe(shape.reduce((product, size) => product * size, 1));
  }
}
