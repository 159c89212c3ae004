/**
 * The WebAssembly module behind `Int32Sums`, assembled here byte by byte (WebAssembly core specification 2.0, section 5):
 * one function `add(into, from, bytes)` over an imported memory, 128-bit SIMD, 64 bytes a turn. No build step, no binary file.
 */

const unsigned = (value: number): number[] => {
  const bytes: number[] = [];
  do {
    const low = value & 0x7f;
    value >>>= 7;
    bytes.push(value === 0 ? low : low | 0x80);
  } while (value !== 0);
  return bytes;
};
const vector = (items: readonly number[][]): number[] => [...unsigned(items.length), ...items.flat()];
const text = (value: string): number[] =>
  [...unsigned(value.length), ...value].map((c) => (typeof c === 'string' ? c.charCodeAt(0) : c));
const section = (id: number, body: readonly number[]): number[] => [id, ...unsigned(body.length), ...body];

const i32 = 0x7f;
const empty = 0x40;
const [into, from, bytes, end] = [0, 1, 2, 3];
const get = (local: number): number[] => [0x20, local];
const set = (local: number): number[] => [0x21, local];
const i32Const = (value: number): number[] => [0x41, ...(value < 64 ? [value] : [(value & 0x7f) | 0x80, value >> 7])];
const i32Add = [0x6a];
const i32LessUnsigned = [0x49];
const simd = (opcode: number): number[] => [0xfd, ...unsigned(opcode)];
const load = (offset: number): number[] => [...simd(0), 4, ...unsigned(offset)]; // v128.load, alignment 2^4
const store = (offset: number): number[] => [...simd(11), 4, ...unsigned(offset)]; // v128.store
const i32x4Add = simd(174);
const addLanes = (offset: number): number[] => [
  ...get(into),
  ...get(into),
  ...load(offset),
  ...get(from),
  ...load(offset),
  ...i32x4Add,
  ...store(offset),
];
const advance = (local: number, step: number): number[] => [...get(local), ...i32Const(step), ...i32Add, ...set(local)];

/** `bytes` must be a positive multiple of 64; `into` and `from` multiples of 16. */
export function addInt32Module(maxPages: number): Uint8Array {
  const code = [
    ...vector([[1, i32]]), // one local: `end`
    ...[...get(into), ...get(bytes), ...i32Add, ...set(end)],
    ...[0x03, empty], // loop
    ...[0, 16, 32, 48].flatMap(addLanes),
    ...advance(into, 64),
    ...advance(from, 64),
    ...[...get(into), ...get(end), ...i32LessUnsigned, 0x0d, 0], // br_if loop
    ...[0x0b, 0x0b],
  ];
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    ...section(1, vector([[0x60, ...vector([[i32], [i32], [i32]]), ...vector([])]])),
    ...section(2, vector([[...text('m'), ...text('m'), 0x02, 0x03, ...unsigned(1), ...unsigned(maxPages)]])), // shared memory
    ...section(3, vector([[0]])),
    ...section(7, vector([[...text('add'), 0x00, 0]])),
    ...section(10, vector([[...unsigned(code.length), ...code]])),
  ]);
}
