/**
 * WebAssembly modules, assembled from named instructions (WebAssembly core specification 2.0, section 5): functions over one imported,
 * shared memory. Only the instructions that some kernel uses are here; one more is one more line.
 */

/** Bytes of some instructions. */
export type Code = readonly number[];
export type ValueType = 'i32' | 'f32' | 'v128';

const typeBytes: Readonly<Record<ValueType, number>> = { i32: 0x7f, f32: 0x7d, v128: 0x7b };

/** LEB128 of a whole number from 0 to 2^32 - 1. */
const unsigned = (value: number): number[] => {
  const bytes: number[] = [];
  do {
    const low = value & 0x7f;
    value >>>= 7;
    bytes.push(value === 0 ? low : low | 0x80);
  } while (value !== 0);
  return bytes;
};
/** LEB128 of an int32. */
const signed = (value: number): number[] => {
  const bytes: number[] = [];
  for (;;) {
    const low = value & 0x7f;
    value >>= 7;
    if ((value === 0 && (low & 0x40) === 0) || (value === -1 && (low & 0x40) !== 0)) return [...bytes, low];
    bytes.push(low | 0x80);
  }
};
const vector = (items: readonly Code[]): number[] => [...unsigned(items.length), ...items.flat()];
const text = (value: string): number[] => [...unsigned(value.length), ...[...value].map((c) => c.charCodeAt(0))];
const section = (id: number, body: Code): number[] => [id, ...unsigned(body.length), ...body];

const simd = (opcode: number): Code => [0xfd, ...unsigned(opcode)];
/** Alignments are hints: any address works. */
const memory = (opcode: Code, alignment: number) => (offset: number) => [...opcode, alignment, ...unsigned(offset)];

export const i32 = {
  const: (value: number): Code => [0x41, ...signed(value)],
  load: memory([0x28], 2),
  store: memory([0x36], 2),
  add: [0x6a],
  and: [0x71],
  lessUnsigned: [0x49],
} satisfies Record<string, Code | ((value: number) => Code)>;

export const f32 = {
  load: memory([0x2a], 2),
} satisfies Record<string, Code | ((value: number) => Code)>;

export const v128 = {
  load: memory(simd(0), 4),
  store: memory(simd(11), 4),
  zero: [...simd(12), ...Array<number>(16).fill(0)],
  /** Moves 32-bit lanes: lane i of the result is lane `order[i]` of the 8 of both operands. */
  permute: (order: readonly [number, number, number, number]): Code => [
    ...simd(13),
    ...order.flatMap((lane) => [4 * lane, 4 * lane + 1, 4 * lane + 2, 4 * lane + 3]),
  ],
};

export const f32x4 = {
  splat: simd(19),
  nearest: simd(106),
  abs: simd(224),
  sqrt: simd(227),
  add: simd(228),
  sub: simd(229),
  mul: simd(230),
  div: simd(231),
  ofI32x4: simd(250),
} satisfies Record<string, Code | ((value: number) => Code)>;

export const i32x4 = {
  lane: (index: number): Code => [...simd(27), index],
  abs: simd(160),
  add: simd(174),
  maxUnsigned: simd(185),
  /** Saturating; 0 for NaN. */
  ofF32x4: simd(248),
} satisfies Record<string, Code | ((value: number) => Code)>;

/** Parameters and locals of a function under construction, by name. */
export class Locals {
  readonly parameters: readonly ValueType[];
  private readonly indices = new Map<string, number>();
  private readonly types: ValueType[] = [];

  constructor(parameters: Readonly<Record<string, ValueType>>) {
    this.parameters = Object.values(parameters);
    for (const name of Object.keys(parameters)) this.indices.set(name, this.indices.size);
  }

  /** Types of the locals after the parameters. */
  get added(): readonly ValueType[] {
    return this.types;
  }
  add(type: ValueType, ...names: readonly string[]): void {
    for (const name of names) {
      if (this.indices.has(name)) throw new RangeError(`There are two locals called ${name}.`);
      this.indices.set(name, this.indices.size);
      this.types.push(type);
    }
  }
  get(name: string): Code {
    return [0x20, ...unsigned(this.indexOf(name))];
  }
  /** `value` leaves one value on the stack. */
  set(name: string, ...value: readonly Code[]): Code {
    return [...value.flat(), 0x21, ...unsigned(this.indexOf(name))];
  }
  /** Adds a constant to an i32. */
  advance(name: string, by: number): Code {
    return this.set(name, this.get(name), i32.const(by), i32.add);
  }
  private indexOf(name: string): number {
    const index = this.indices.get(name);
    if (index === undefined) throw new RangeError(`There is no local called ${name}.`);
    return index;
  }
}

/** Runs the body once and again as long as `condition` leaves something other than 0. */
export const doWhile = (condition: Code, ...body: readonly Code[]): Code => [
  ...[0x03, 0x40], // loop, without a result
  ...body.flat(),
  ...condition,
  ...[0x0d, 0x00], // br_if to the loop's start
  0x0b,
];
/** @param condition leaves an i32 on the stack */
export const when = (condition: Code, ...body: readonly Code[]): Code => [
  ...condition,
  ...[0x04, 0x40],
  ...body.flat(),
  0x0b,
];

export interface WasmFunction {
  readonly name: string;
  readonly locals: Locals;
  /** Leaves nothing on the stack: functions here write to memory. */
  readonly body: Code;
}

/** A module that imports the shared memory `m.m` and exports the functions by name. */
export function assemble(functions: readonly WasmFunction[], maxPages: number): Uint8Array {
  const types = functions.map(({ locals }) => [
    0x60,
    ...vector(locals.parameters.map((type) => [typeBytes[type]])),
    ...vector([]),
  ]);
  const bodies = functions.map(({ locals, body }) => {
    const code = [...vector(locals.added.map((type) => [1, typeBytes[type]])), ...body, 0x0b];
    return [...unsigned(code.length), ...code];
  });
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    ...section(1, vector(types)),
    ...section(2, vector([[...text('m'), ...text('m'), 0x02, 0x03, ...unsigned(1), ...unsigned(maxPages)]])),
    ...section(3, vector(functions.map((_, index) => unsigned(index)))),
    ...section(7, vector(functions.map(({ name }, index) => [...text(name), 0x00, ...unsigned(index)]))),
    ...section(10, vector(bodies)),
  ]);
}
