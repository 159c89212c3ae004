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
  type Code,
  type WasmFunction,
} from '@thaw/shared/wasm';

const vectorBytes = 16;

/** Addresses and sizes in bytes. */
export interface SimdFunctions {
  blockMaxima(blocks: number, valueBytes: number, gradient: number, maxima: number): void;
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

/** A loop over blocks, and within each over its vectors. Every address in `arrays` advances with the values, every one in `lists` per block. */
function overBlocks(
  locals: Locals,
  arrays: readonly string[],
  lists: Readonly<Record<string, number>>,
  { before, each, after }: { readonly before: Code; readonly each: Code; readonly after: Code },
): Code {
  const [guide] = arrays as [string];
  const { get, set } = bound(locals);
  return doWhile(
    get('blocks'),
    before,
    set('end', get(guide), get('valueBytes'), i32.add),
    doWhile(
      [...get(guide), ...get('end'), ...i32.lessUnsigned],
      each,
      ...arrays.map((name) => locals.advance(name, vectorBytes)),
    ),
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

function blockMaxima(): WasmFunction {
  const locals = new Locals({ blocks: 'i32', valueBytes: 'i32', gradient: 'i32', maxima: 'i32' });
  locals.add('i32', 'end');
  locals.add('v128', 'max');
  locals.add('f32', 'largest');
  const { get, set } = bound(locals);
  const lane = (index: number): Code => [...get('max'), ...f32x4.lane(index)];
  const body = overBlocks(
    locals,
    ['gradient'],
    { maxima: 4 },
    {
      before: set('max', v128.zero),
      // Maximum passes NaN on.
      each: set('max', get('max'), get('gradient'), v128.load(0), f32x4.abs, f32x4.max),
      after: [
        ...set('largest', lane(0), lane(1), f32.max, lane(2), f32.max, lane(3), f32.max),
        // largest + (largest - largest): NaN for an infinity as well.
        ...[
          ...get('maxima'),
          ...get('largest'),
          ...get('largest'),
          ...get('largest'),
          ...f32.sub,
          ...f32.add,
          ...f32.store(0),
        ],
      ],
    },
  );
  return { name: 'blockMaxima', locals, body };
}

function addQuantised(): WasmFunction {
  const locals = new Locals({ blocks: 'i32', valueBytes: 'i32', gradient: 'i32', sums: 'i32', scales: 'i32' });
  locals.add('i32', 'end');
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
      each: [
        ...get('sums'),
        ...[...get('gradient'), ...v128.load(0), ...get('scaleA'), ...f32x4.mul, ...get('scaleB'), ...f32x4.mul],
        ...[...f32x4.nearest, ...i32x4.ofF32x4],
        ...[...get('sums'), ...v128.load(0), ...i32x4.add, ...v128.store(0)],
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
  locals.add('i32', 'end');
  locals.add('v128', 'scale', 'total', 'max', 'g', 'm', 'v', 'w', ...all.map((name) => `${name}s`));
  const { get, set } = bound(locals);
  const load = (name: string): Code => [...get(name), ...v128.load(0)];
  const store = (name: string, value: string): Code => [...get(name), ...get(value), ...v128.store(0)];
  const lane = (index: number): Code => [...get('max'), ...i32x4.lane(index)];
  const loops = overBlocks(
    locals,
    ['weights', 'first', 'second', 'sums', ...(blend ? ['average'] : [])],
    { scales: 4, largest: 16 },
    {
      before: [...set('max', v128.zero), ...set('scale', get('scales'), f32.load(0), f32x4.splat)],
      each: [
        ...set('total', load('sums')),
        ...set('max', get('max'), get('total'), i32x4.abs, i32x4.maxUnsigned),
        ...set('g', get('total'), f32x4.ofI32x4, get('scale'), f32x4.mul),
        ...set('m', get('beta1s'), load('first'), f32x4.mul, get('rest1s'), get('g'), f32x4.mul, f32x4.add),
        ...store('first', 'm'),
        ...set(
          'v',
          ...[get('beta2s'), load('second'), f32x4.mul],
          ...[get('rest2s'), get('g'), f32x4.mul, get('g'), f32x4.mul, f32x4.add],
        ),
        ...store('second', 'v'),
        ...set(
          'w',
          load('weights'),
          ...[get('stepSizes'), get('m'), f32x4.mul],
          ...[get('v'), f32x4.sqrt, get('rootScales'), f32x4.mul, get('epsilons'), f32x4.add],
          f32x4.div,
          f32x4.sub,
        ),
        ...store('weights', 'w'),
        ...(blend
          ? [
              ...get('average'),
              ...[
                ...get('decays'),
                ...load('average'),
                ...f32x4.mul,
                ...get('rests'),
                ...get('w'),
                ...f32x4.mul,
                ...f32x4.add,
              ],
              ...v128.store(0),
            ]
          : []),
      ],
      // The four lanes of the maximum; whoever reads them takes the largest.
      after: [0, 1, 2, 3].flatMap((index) => [...get('largest'), ...lane(index), ...i32.store(4 * index)]),
    },
  );
  const body = [...all.flatMap((name) => set(`${name}s`, get(name), f32x4.splat)), ...loops];
  return { name: blend ? 'updateAndBlend' : 'update', locals, body };
}
