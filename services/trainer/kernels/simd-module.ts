/**
 * The SIMD loops. Every one walks over `blocks` blocks of `valueBytes / 4` values (a multiple of 4) that lie one after the other; per-block
 * numbers are read from or written to a list of their own. f32x4 operations are IEEE 754 operations, so the bits are those of the plain loops.
 */
import {
  assemble,
  doWhile,
  f32,
  f32x4,
  i32,
  i32x4,
  Locals,
  v128,
  when,
  type Code,
  type WasmFunction,
} from '@thaw/shared/wasm';

const vectorBytes = 16;

/** Addresses and sizes in bytes. */
export interface SimdFunctions {
  /** `largest`: a word per block, the bits of the largest absolute value. */
  blockMaxima(blocks: number, valueBytes: number, gradient: number, largest: number): void;
  /** `scales`: two factors per block, whose product is 2^-exponent. */
  addQuantised(blocks: number, valueBytes: number, gradient: number, sums: number, scales: number): void;
  update(...args: UpdateArguments): void;
  updateAndBlend(...args: [...UpdateArguments, average: number, decay: number, rest: number]): void;
}
type UpdateArguments = [
  blocks: number,
  valueBytes: number,
  weights: number,
  first: number,
  second: number,
  sums: number,
  scales: number,
  largest: number,
  beta1: number,
  rest1: number,
  beta2: number,
  rest2: number,
  stepSize: number,
  rootScale: number,
  epsilon: number,
];

export const simdModule = (maxPages: number): Uint8Array =>
  assemble([blockMaxima(), addQuantised(), update(false), update(true)], maxPages);

/** Vectors of one turn of the main loop. */
const unroll = 4;

/**
 * A loop over blocks, and within each over its vectors: several a turn, then what is left. Every address in `arrays` advances with the
 * values, every one in `lists` per block. `each` is the code of the vector at an offset from these addresses.
 */
function overBlocks(
  locals: Locals,
  arrays: readonly string[],
  lists: Readonly<Record<string, number>>,
  { before, each, after }: { readonly before: Code; readonly each: (offset: number) => Code; readonly after: Code },
): Code {
  const [guide] = arrays as [string];
  const { get, set } = bound(locals);
  locals.add('i32', 'end', 'mainEnd');
  const loop = (end: string, vectors: number): Code => {
    const more = [...get(guide), ...get(end), ...i32.lessUnsigned];
    const turn = [
      ...Array.from({ length: vectors }, (_, i) => each(i * vectorBytes)).flat(),
      ...arrays.flatMap((name) => locals.advance(name, vectors * vectorBytes)),
    ];
    return when(more, doWhile(more, turn));
  };
  const mainBytes = [...get('valueBytes'), ...i32.const(-unroll * vectorBytes), ...i32.and];
  return doWhile(
    get('blocks'),
    before,
    set('end', get(guide), get('valueBytes'), i32.add),
    set('mainEnd', get(guide), mainBytes, i32.add),
    loop('mainEnd', unroll),
    loop('end', 1),
    after,
    ...Object.entries(lists).map(([name, bytes]) => locals.advance(name, bytes)),
    locals.advance('blocks', -1),
  );
}

const bound = (
  locals: Locals,
): { get: (name: string) => Code; set: (name: string, ...value: readonly Code[]) => Code } => ({
  get: (name) => locals.get(name),
  set: (name, ...value) => locals.set(name, ...value),
});

/** Stores the largest of the four lanes of `max`. */
function storeLargest({ get, set }: ReturnType<typeof bound>, list: string): Code {
  const fold = (order: readonly [number, number, number, number]): Code =>
    set('max', get('max'), get('max'), get('max'), v128.permute(order), i32x4.maxUnsigned);
  return [
    ...[...fold([2, 3, 0, 1]), ...fold([1, 0, 3, 2])],
    ...[...get(list), ...get('max'), ...i32x4.lane(0), ...i32.store(0)],
  ];
}

function blockMaxima(): WasmFunction {
  const locals = new Locals({ blocks: 'i32', valueBytes: 'i32', gradient: 'i32', largest: 'i32' });
  locals.add('v128', 'max');
  const { get, set } = bound(locals);
  const body = overBlocks(
    locals,
    ['gradient'],
    { largest: 4 },
    {
      before: set('max', v128.zero),
      // Without their sign fp32 numbers have the order of their bits, and NaN comes after infinity.
      each: (offset) => set('max', get('max'), get('gradient'), v128.load(offset), f32x4.abs, i32x4.maxUnsigned),
      after: storeLargest(bound(locals), 'largest'),
    },
  );
  return { name: 'blockMaxima', locals, body };
}

function addQuantised(): WasmFunction {
  const locals = new Locals({ blocks: 'i32', valueBytes: 'i32', gradient: 'i32', sums: 'i32', scales: 'i32' });
  locals.add('v128', 'scaleA', 'scaleB');
  const { get, set } = bound(locals);
  const body = overBlocks(
    locals,
    ['gradient', 'sums'],
    { scales: 8 },
    {
      before: [
        ...set('scaleA', get('scales'), f32.load(0), f32x4.splat),
        ...set('scaleB', get('scales'), f32.load(4), f32x4.splat),
      ],
      // Powers of two: the products are exact, or far below one half.
      each: (offset) => [
        ...get('sums'),
        ...[...get('gradient'), ...v128.load(offset), ...get('scaleA'), ...f32x4.mul, ...get('scaleB'), ...f32x4.mul],
        ...[...f32x4.nearest, ...i32x4.ofF32x4],
        ...[...get('sums'), ...v128.load(offset), ...i32x4.add, ...v128.store(offset)],
      ],
      after: [],
    },
  );
  return { name: 'addQuantised', locals, body };
}

/** The formulas of `adamRange` and `averageRange`, operation by operation. */
function update(blend: boolean): WasmFunction {
  const factors = ['beta1', 'rest1', 'beta2', 'rest2', 'stepSize', 'rootScale', 'epsilon'];
  const blendFactors = blend ? ['decay', 'rest'] : [];
  const locals = new Locals({
    ...Object.fromEntries(
      ['blocks', 'valueBytes', 'weights', 'first', 'second', 'sums', 'scales', 'largest'].map((name) => [
        name,
        'i32' as const,
      ]),
    ),
    ...Object.fromEntries(factors.map((name) => [name, 'f32' as const])),
    ...(blend && { average: 'i32', decay: 'f32', rest: 'f32' }),
  });
  const all = [...factors, ...blendFactors];
  locals.add('v128', 'scale', 'total', 'max', 'g', 'm', 'v', 'w', ...all.map((name) => `${name}s`));
  const { get, set } = bound(locals);
  const load = (name: string, offset: number): Code => [...get(name), ...v128.load(offset)];
  const store = (name: string, value: string, offset: number): Code => [
    ...get(name),
    ...get(value),
    ...v128.store(offset),
  ];
  const loops = overBlocks(
    locals,
    ['weights', 'first', 'second', 'sums', ...(blend ? ['average'] : [])],
    { scales: 4, largest: 4 },
    {
      before: [...set('max', v128.zero), ...set('scale', get('scales'), f32.load(0), f32x4.splat)],
      each: (offset) => [
        ...set('total', load('sums', offset)),
        ...set('max', get('max'), get('total'), i32x4.abs, i32x4.maxUnsigned),
        ...set('g', get('total'), f32x4.ofI32x4, get('scale'), f32x4.mul),
        ...set('m', get('beta1s'), load('first', offset), f32x4.mul, get('rest1s'), get('g'), f32x4.mul, f32x4.add),
        ...store('first', 'm', offset),
        ...set(
          'v',
          ...[get('beta2s'), load('second', offset), f32x4.mul],
          ...[get('rest2s'), get('g'), f32x4.mul, get('g'), f32x4.mul, f32x4.add],
        ),
        ...store('second', 'v', offset),
        ...set(
          'w',
          load('weights', offset),
          ...[get('stepSizes'), get('m'), f32x4.mul],
          ...[get('v'), f32x4.sqrt, get('rootScales'), f32x4.mul, get('epsilons'), f32x4.add],
          f32x4.div,
          f32x4.sub,
        ),
        ...store('weights', 'w', offset),
        ...(blend
          ? [
              ...get('average'),
              ...[
                ...get('decays'),
                ...load('average', offset),
                ...f32x4.mul,
                ...get('rests'),
                ...get('w'),
                ...f32x4.mul,
                ...f32x4.add,
              ],
              ...v128.store(offset),
            ]
          : []),
      ],
      after: storeLargest(bound(locals), 'largest'),
    },
  );
  const body = [...all.flatMap((name) => set(`${name}s`, get(name), f32x4.splat)), ...loops];
  return { name: blend ? 'updateAndBlend' : 'update', locals, body };
}
