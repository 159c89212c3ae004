import { describe, expect, it } from 'vitest';
import {
  assemble,
  doWhile,
  i32,
  Locals,
  maxWasmPages,
  sharedMemory,
  v128,
  WasmModule,
  wasmPageBytes,
  when,
} from './index.js';

interface Fill {
  fill(at: number, value: number, count: number): void;
}
function fillModule(offset: number, constant: number): Fill & { readonly words: Int32Array } {
  const locals = new Locals({ at: 'i32', value: 'i32', count: 'i32' });
  locals.add('i32', 'left');
  const { fill } = new WasmModule<Fill>(
    assemble(
      [
        {
          name: 'fill',
          locals,
          body: [
            ...locals.set('left', locals.get('count')),
            ...when(
              locals.get('left'),
              doWhile(
                locals.get('left'),
                [...locals.get('at'), ...locals.get('value'), ...i32.const(constant), ...i32.add, ...i32.store(offset)],
                locals.advance('at', 4),
                locals.advance('left', -1),
              ),
            ),
          ],
        },
      ],
      maxWasmPages,
    ),
  ).bind(memory);
  return { fill, words: new Int32Array(memory.buffer) };
}
const memory = sharedMemory(3 * wasmPageBytes);

describe('assembled modules', () => {
  it('loop and branch, with constants and offsets of every length in bytes', () => {
    for (const constant of [0, 1, -1, 63, 64, -64, -65, 8191, 8192, -8193, 2 ** 31 - 1, -(2 ** 31)])
      for (const offset of [0, 4, 128, 16_384, 131_072]) {
        const { fill, words } = fillModule(offset, constant);
        words.fill(9);
        fill(8, 5, 3);
        const expected = new Int32Array(words.length).fill(9).fill((constant + 5) | 0, 2 + offset / 4, 5 + offset / 4);
        expect(Buffer.compare(Buffer.from(words), Buffer.from(expected))).toBe(0);
        fill(0, 1, 0);
        expect(words[0]).toBe(expected[0]);
      }
  });

  it('are refused by the runtime when the code does not fit the stack', () => {
    const locals = new Locals({});
    const wrong = assemble([{ name: 'wrong', locals, body: v128.zero }], 1);
    expect(() => new WasmModule(wrong)).toThrow();
  });

  it('have locals of one name each', () => {
    const locals = new Locals({ a: 'i32' });
    expect(() => locals.add('v128', 'a')).toThrow('two locals called a');
    expect(() => locals.get('b')).toThrow('no local called b');
  });

  it('share at most 4 GiB', () => {
    expect(() => sharedMemory(2 ** 32 + 1)).toThrow(RangeError);
    expect(() => sharedMemory(NaN)).toThrow(RangeError);
    expect(sharedMemory(1).buffer.byteLength).toBe(wasmPageBytes);
  });
});
