// npm run bench -- engine-costs [--rounds <n>] [--json]
// What matrix products and copies cost in ONNX Runtime on this processor, one thread, CPU time, and the constants of the
// engine's cost model (shared/engine/lower/convolution/cost.ts) that fit them best. To change the model, put the constants of
// a quiet machine there and raise `loweringVersion`: they decide which programs are lowered, so they never change by themselves.
import ort from 'onnxruntime-node';
import { median, round } from './comparison.mjs';
import { keep, machine, numberOption, wantsJson } from './results.mjs';

const engine = (path) => import(new URL(`../shared/dist/engine/${path}`, import.meta.url).href);
const { encodeModel } = await engine('onnx/index.js');
const { productTerms, copyTerms, packedTerms, costNames, nanoseconds, measuredCosts } =
  await engine('lower/convolution/cost.js');

const before = machine();
const rounds = numberOption('rounds', 9);
const options = {
  executionProviders: ['cpu'],
  intraOpNumThreads: 1,
  interOpNumThreads: 1,
  enableMemPattern: false,
};
const sizeOf = (shape) => shape.reduce((product, d) => product * d, 1);
const floats = (name, shape) => ({ name, shape, dtype: 'float32' });
const int64s = (name, values) => ({
  name,
  dtype: 'int64',
  shape: [values.length],
  data: BigInt64Array.from(values.map(BigInt)),
});

/** CPU nanoseconds of one node; all but one number of its result are cut off, since results are copied out. */
async function measure(node, inputs, initializers, shape, optimization = 'disabled') {
  const corner = shape.map(() => 1);
  const bytes = encodeModel({
    graphName: 'cost',
    inputs,
    outputs: [floats('corner', corner)],
    nodes: [
      { name: 'node', domain: '', attributes: {}, outputs: ['y'], ...node },
      {
        name: 'cut',
        op: 'Slice',
        domain: '',
        inputs: ['y', 'from', 'to', 'axes'],
        outputs: ['corner'],
        attributes: {},
      },
    ],
    initializers: [
      ...initializers,
      int64s(
        'from',
        shape.map(() => 0),
      ),
      int64s('to', corner),
      int64s(
        'axes',
        shape.map((_, axis) => axis),
      ),
    ],
  });
  const session = await ort.InferenceSession.create(bytes, { ...options, graphOptimizationLevel: optimization });
  const feeds = Object.fromEntries(
    inputs.map(({ name, shape }) => [
      name,
      new ort.Tensor(
        'float32',
        Float32Array.from({ length: sizeOf(shape) }, (_, i) => (i % 13) / 13 - 0.5),
        shape,
      ),
    ]),
  );
  const cpu = async (calls) => {
    const start = process.cpuUsage();
    for (let i = 0; i < calls; i++) await session.run(feeds);
    const { user, system } = process.cpuUsage(start);
    return ((user + system) * 1000) / calls;
  };
  await cpu(2);
  const calls = Math.max(1, Math.min(50, Math.round(4e6 / (await cpu(1)))));
  const times = [];
  for (let i = 0; i < rounds; i++) times.push(await cpu(calls));
  await session.release();
  return median(times);
}

const product = async ([batch, rows, depth, columns], { left = false, right = false } = {}) => {
  const a = [batch, ...(left ? [depth, rows] : [rows, depth])];
  const b = [batch, ...(right ? [columns, depth] : [depth, columns])];
  const fused = { op: 'FusedMatMul', domain: 'com.microsoft', attributes: { transA: +left, transB: +right } };
  const node = { ...(left || right ? fused : { op: 'MatMul' }), inputs: ['a', 'b'] };
  const terms = productTerms({ batch, rows, depth, columns, leftTransposed: left, rightTransposed: right });
  const shape = [batch, rows, columns];
  return {
    what: `${batch} x [${rows}, ${depth}]${left ? '^T' : ''} [${depth}, ${columns}]${right ? '^T' : ''}`,
    terms,
    measured: await measure(node, [floats('a', a), floats('b', b)], [], shape),
  };
};

const gather = async (rows, channels, count) => ({
  what: `${count} rows of ${channels}`,
  terms: copyTerms(count * channels),
  measured: await measure(
    { op: 'Gather', inputs: ['x', 'indices'], attributes: { axis: 0 } },
    [floats('x', [rows, channels])],
    [
      {
        name: 'indices',
        dtype: 'int32',
        shape: [count],
        data: Int32Array.from({ length: count }, (_, i) => (i * 7) % rows),
      },
    ],
    [count, channels],
  ),
});

/** A 3x3 convolution whose filter never changes; ONNX Runtime optimises such graphs, and packs the filter. */
const packed = async ([n, c, o, side]) => ({
  what: `packed convolution ${n} x ${side} x ${side}, ${c} to ${o}`,
  terms: packedTerms(2 * 9 * n * side * side * c * o),
  measured: await measure(
    {
      op: 'Conv',
      inputs: ['x', 'filter'],
      attributes: { kernel_shape: [3, 3], pads: [1, 1, 1, 1], strides: [1, 1], dilations: [1, 1], group: 1 },
    },
    [floats('x', [n, c, side, side])],
    [
      {
        ...floats('filter', [o, c, 3, 3]),
        data: Float32Array.from({ length: 9 * c * o }, (_, i) => (i % 7) / 7 - 0.5),
      },
    ],
    [n, o, side, side],
    'all',
  ),
});

/** Products of convolutions of both networks of the benchmark: [batch, rows, depth, columns]. */
const shapes = [16, 36]
  .flatMap((taps) => [
    ...[32, 64, 128, 512, 1568].flatMap((tiles) =>
      [
        [64, 32],
        [128, 64],
        [256, 128],
        [512, 256],
      ].map(([c, o]) => [taps, tiles, c, o]),
    ),
    ...[16, 64].map((tiles) => [taps, tiles, 1024, 512]),
  ])
  .filter(([taps, tiles, c]) => taps * tiles * c < 4e6);
const samples = [];
for (const shape of shapes) {
  const [taps, tiles, c, o] = shape;
  samples.push(await product(shape), await product(shape, { right: true }));
  samples.push(await product([taps, o, c, tiles], { right: true }));
  samples.push(await product([taps, c, tiles, o]), await product([taps, c, tiles, o], { left: true }));
}
for (const columns of [4096, 16384, 32768, 100352, 131072])
  for (const [rows, depth] of [
    [36, 36],
    [16, 36],
    [36, 16],
    [16, 16],
    [4, 16],
  ])
    samples.push(await product([1, rows, depth, columns]));
for (const columns of [8192, 32768, 524288])
  for (const [rows, depth] of [
    [36, 9],
    [16, 9],
    [9, 36],
    [9, 16],
  ])
    samples.push(await product([1, rows, depth, columns]));
for (const [n, c, o, pixels] of [
  [8, 512, 512, 16],
  [8, 1024, 512, 16],
  [4, 1024, 512, 64],
  [8, 256, 128, 49],
  [32, 128, 256, 49],
  [8, 64, 128, 196],
])
  samples.push(await product([n, o, 9 * c, pixels]), await product([1, o, n * pixels, 9 * c], { right: true }));
for (const [rows, channels, count] of [
  [6272, 32, 14112],
  [25088, 64, 56448],
  [1568, 128, 4608],
  [256, 1024, 1024],
  [16384, 128, 36864],
])
  samples.push(await gather(rows, channels, count));

for (const shape of [
  [1, 64, 64, 64],
  [4, 64, 128, 32],
  [1, 256, 128, 32],
  [1, 512, 256, 16],
  [1, 1024, 512, 8],
  [8, 32, 64, 28],
  [8, 128, 256, 7],
])
  samples.push(await packed(shape));

/** Non-negative least squares of relative errors, by coordinate descent. */
function fit() {
  const rows = samples.map(({ terms, measured }) => costNames.map((name) => (terms[name] ?? 0) / measured));
  const x = costNames.map(() => 0);
  const rest = rows.map(() => 1);
  for (let pass = 0; pass < 20_000; pass++)
    costNames.forEach((_, j) => {
      const weight = rows.reduce((sum, row) => sum + row[j] ** 2, 0);
      if (weight === 0) return;
      const better = Math.max(0, x[j] + rows.reduce((sum, row, i) => sum + row[j] * rest[i], 0) / weight);
      rows.forEach((row, i) => (rest[i] -= (better - x[j]) * row[j]));
      x[j] = better;
    });
  return Object.fromEntries(costNames.map((name, j) => [name, x[j]]));
}

const fitted = fit();
const errorsOf = (costs) =>
  samples.map(({ terms, measured }) => Math.abs(nanoseconds(terms, costs) / measured - 1)).sort((a, b) => a - b);
const summary = (costs) => {
  const errors = errorsOf(costs);
  return { medianError: round(median(errors), 2), ninthDecile: round(errors[Math.floor(0.9 * errors.length)], 2) };
};
const results = [
  {
    constants: Object.fromEntries(Object.entries(fitted).map(([name, value]) => [name, round(value, 3)])),
    fitted: summary(fitted),
    committed: summary(measuredCosts),
    samples: samples.map(({ what, terms, measured }) => ({
      what,
      microseconds: round(measured / 1000, 4),
      fitted: round(nanoseconds(terms, fitted) / 1000, 4),
      committed: round(nanoseconds(terms, measuredCosts) / 1000, 4),
    })),
  },
];
keep('engine-costs', before, {
  command: ['npm run bench -- engine-costs', ...process.argv.slice(2)].join(' '),
  results,
});
if (!wantsJson()) console.log(results[0].constants, results[0].fitted, 'as committed:', results[0].committed);
console.log(JSON.stringify(results));
