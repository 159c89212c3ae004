/** The WebAssembly module behind `Int32Sums`: one function over a shared memory, 128-bit SIMD, 64 bytes a turn. */
import { assemble, doWhile, i32, i32x4, Locals, v128, type Code } from '@thaw/shared/wasm';

export interface AddInt32 {
  /** `bytes` must be a positive multiple of 64; `into` and `from` multiples of 16. */
  add(into: number, from: number, bytes: number): void;
}

export function addInt32Module(maxPages: number): Uint8Array {
  const locals = new Locals({ into: 'i32', from: 'i32', bytes: 'i32' });
  locals.add('i32', 'end');
  const load = (name: string, offset: number): Code => [...locals.get(name), ...v128.load(offset)];
  const body = [
    ...locals.set('end', locals.get('into'), locals.get('bytes'), i32.add),
    ...doWhile(
      [...locals.get('into'), ...locals.get('end'), ...i32.lessUnsigned],
      ...[0, 16, 32, 48].map((offset) => [
        ...locals.get('into'),
        ...[...load('into', offset), ...load('from', offset), ...i32x4.add],
        ...v128.store(offset),
      ]),
      locals.advance('into', 64),
      locals.advance('from', 64),
    ),
  ];
  return assemble([{ name: 'add', locals, body }], maxPages);
}
