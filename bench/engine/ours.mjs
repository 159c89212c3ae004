// Our side of the engine benchmark: one measured call at a time, as asked on standard input (see children.mjs).
// Networks run through the product's own path: engine threads, copies of changed weights, outputs handed over.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import * as tf from '@tensorflow/tfjs-core';
import { fromStored, gradientName, openEngine, probeCall, profileProgram, toStored } from '@thaw/shared/engine';
import { fromOfficial, toOfficial, unet, unetWeightSpecs } from '@thaw/shared/model';
import { peakRssMiB, resetPeakRss } from '../peak-memory.mjs';
import { networkOf } from './network.mjs';

const [variant] = process.argv.slice(2);
let call;
let result;
let profile;

const shared = (data) => {
  const copy = new Float32Array(new SharedArrayBuffer(data.byteLength));
  copy.set(data);
  return copy;
};

function readTensors(folder, table) {
  const bytes = readFileSync(join(folder, 'tensors.f32'));
  const all = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
  let at = 0;
  return Object.fromEntries(table.map(({ name, size }) => [name, all.slice(at, (at += size))]));
}

/** [N, C, H, W] <-> [N, H, W, C]. */
function moveChannels(data, [n, a, b]) {
  const moved = new Float32Array(data.length);
  for (let i = 0; i < n; i++)
    for (let j = 0; j < a; j++) for (let k = 0; k < b; k++) moved[(i * b + k) * a + j] = data[(i * a + j) * b + k];
  return moved;
}

/** Definition, weights in model layout, and inputs of a work, for its batch or its first images. */
function networkWork(work, folder, batch = work.batch) {
  const { size, channels, kind } = work;
  const network = networkOf(work);
  const specs = unetWeightSpecs(network, channels);
  const { x, t, target, ...official } = readTensors(folder, work.tensors);
  const image = { shape: [batch, size, size, channels], dtype: 'float32' };
  const toPixels = (data) =>
    moveChannels(data.slice(0, batch * channels * size * size), [batch, channels, size * size]);
  const inputs = { x: toPixels(x), t: t.slice(0, batch) };
  const definition = {
    name: kind,
    weights: Object.fromEntries(Object.keys(specs).map((n) => [n, { shape: specs[n].modelShape, dtype: 'float32' }])),
    inputs: { x: image, t: { shape: [batch], dtype: 'float32' } },
    fn: (weights, { x, t }) => ({ y: unet(weights, x, t, network) }),
  };
  const model = Object.fromEntries(Object.keys(specs).map((name) => [name, fromOfficial(specs[name], official[name])]));
  if (kind === 'forward' || kind === 'serving') return { specs, definition, model, inputs };
  const training = {
    ...definition,
    inputs: { ...definition.inputs, target: image },
    fn: (weights, { x, t, target }) => ({ loss: tf.mean(tf.abs(tf.sub(unet(weights, x, t, network), target))) }),
    gradientOf: 'loss',
  };
  return { specs, definition: training, model, inputs: { ...inputs, target: toPixels(target) } };
}

/** Weights as trainers keep them: shared, in stored order. Takes them out of `model`, which frees it. */
function storedWeights(compiled, model) {
  return Object.fromEntries(
    compiled.weights.map((weight) => {
      const data = model[weight.name];
      delete model[weight.name];
      return [weight.name, shared(toStored(weight, data))];
    }),
  );
}

async function load(work, folder) {
  const { specs, definition, model, inputs } = networkWork(work, folder);
  const engine = await openEngine({ kind: 'onnx-cpu', workers: variant === 'two' ? 2 : 1 });
  if (variant === 'constant') {
    const fixed = await engine.openFixed([definition], sharedWeights(model));
    await engine.close();
    return { specs, compiled: fixed.programs[0], weights: {}, inputs };
  }
  const compiled = await engine.load(definition);
  const weights = storedWeights(compiled, model);
  return { specs, compiled, weights, inputs };
}

/** As samplers keep them: on shared memory, in model layout. */
const sharedWeights = (model) => Object.fromEntries(Object.entries(model).map(([name, data]) => [name, shared(data)]));

/** Forward passes of several batch sizes, made ready side by side as samplers do it. */
async function prepareServing(work, folder) {
  const sized = work.batches.map((batch) => networkWork(work, folder, batch));
  const engine = await openEngine({ kind: 'onnx-cpu' });
  const { programs } = await engine.openFixed(
    sized.map(({ definition }) => definition),
    sharedWeights(sized[0].model),
  );
  await engine.close();
  const inputs = sized.map((one) => one.inputs);
  call = async () => {
    for (const [i, program] of programs.entries()) await program.run({ weights: {}, inputs: inputs[i] });
  };
}

/** A step on this thread, again and again: milliseconds of each ONNX operator. */
function profileOf({ definition }) {
  return async (calls) => {
    const engine = await openEngine({ kind: 'onnx-cpu' });
    const program = engine.compile(definition);
    await engine.close();
    const { nodes } = await profileProgram(program, probeCall({ compiled: program }, 0), calls);
    const operators = {};
    for (const { operator, milliseconds } of nodes) operators[operator] = (operators[operator] ?? 0) + milliseconds;
    return operators;
  };
}

async function prepareNetwork(work, folder) {
  const { specs, compiled, weights, inputs } = await load(work, folder);
  const { batch, size, channels, kind, tensors } = work;
  let step = 0;
  if (kind === 'workers') {
    // Calls at once: one worker does them one after the other. Each has arrays of its own for its results, as trainers' lanes have.
    const lanes = Array.from({ length: work.calls }, () => ({}));
    call = () =>
      Promise.all(
        lanes.map(async (into, lane) => {
          lanes[lane] = await compiled.run({ weights, weightsVersion: 0, inputs, into });
        }),
      );
    profile = profileOf(networkWork(work, folder));
    return;
  }
  // Weights change in every step of a training, so their copy into the worker, where one is needed, is part of the call. Results go
  // into the arrays of the call before, as trainers do it.
  let before = {};
  call = async () => {
    const version = kind === 'train' ? step++ : 0;
    before = await compiled.run({ weights, weightsVersion: version, inputs, into: kind === 'train' ? before : {} });
    return before;
  };
  result = async (file) => {
    const outputs = await call();
    if (kind === 'forward') {
      writeFileSync(file, new Uint8Array(moveChannels(outputs.y, [batch, size * size, channels]).buffer));
      return;
    }
    const parts = [outputs.loss];
    const stored = new Map(compiled.weights.map((w) => [w.name, w]));
    for (const { name } of tensors)
      if (stored.has(name))
        parts.push(toOfficial(specs[name], fromStored(stored.get(name), outputs[gradientName(name)])));
    writeFileSync(file, Buffer.concat(parts.map((p) => Buffer.from(p.buffer, p.byteOffset, p.byteLength))));
  };
}

async function prepareAdam({ parameters }) {
  const { averageUpdateOf, createLayout, simdKernels } = await import(
    new URL('../../services/trainer/dist/index.js', import.meta.url).href
  );
  const kernels = simdKernels({ capacityBytes: variant === 'in place' ? 5 * 4 * parameters + 4096 : 0 });
  // In as many tensors as the network has, as on PyTorch's side.
  const tensors = Array.from({ length: 200 }, (_, i) => ({ name: `t${i}`, size: Math.floor(parameters / 200) }));
  const layout = createLayout(tensors, 4);
  const filled = (value) => kernels.float32(layout.valueCount).fill(value);
  const arrays = { weights: filled(0.01), ema: filled(0.01), firstMoment: filled(0), secondMoment: filled(0) };
  const update = {
    sums: kernels.int32(layout.valueCount).fill(1000),
    exponents: new Int8Array(layout.blockCount).fill(-18),
    laneCount: 4,
    adam: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, stepSize: 2e-4, secondMomentScale: 0.0316 },
    average: averageUpdateOf({ every: 1, startStep: 0, decay: 0.995 }, 10),
  };
  const largest = new Uint32Array(layout.blockCount);
  call = () => kernels.update(layout, 0, layout.blockCount, arrays, update, largest);
}

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  const answer = {};
  if (request.do === 'prepare') {
    const prepare = { adam: prepareAdam, serving: prepareServing }[request.work.kind] ?? prepareNetwork;
    await prepare(request.work, request.folder);
    globalThis.gc(); // What preparation leaves is nobody's memory.
  } else if (request.do === 'profile') {
    answer.operators = await profile(request.calls);
  } else if (request.do === 'result') {
    await result(request.file);
  } else {
    resetPeakRss();
    const before = process.cpuUsage();
    const began = performance.now();
    await call();
    answer.wallMs = performance.now() - began;
    const { user, system } = process.cpuUsage(before);
    answer.cpuMs = (user + system) / 1000;
    answer.peakRssMiB = peakRssMiB();
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
process.exit(0);
