// Our side of the diffusion benchmark: one measured call at a time, as asked on standard input. Everything runs through the product's own
// path: the engine's thread, the programs of trainer and sampler, the trainer's quantising and update. `node ours.mjs <variant>`:
// `constant` samples with weights fixed in the graph, as samplers do, `inputs` with weights given at every call.
import { closeSync, openSync, readSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { degradationOf, degradationProgram, tableInputs, trainingProgram } from '@thaw/shared/diffusion';
import { fromStored, gradientName, openEngine, toStored } from '@thaw/shared/engine';
import { fromOfficial, networkWeightSpecs, toOfficial } from '@thaw/shared/model';
import { peakRssMiB, resetPeakRss } from '../peak-memory.mjs';
import { runOf } from './inputs.mjs';

const built = (path) => import(new URL(`../../services/${path}`, import.meta.url).href);
const constant = process.argv[2] === 'constant';
let call;
let result;

/** [N, C, P] <-> [N, P, C]. */
function moveChannels(data, [n, a, b]) {
  const moved = new Float32Array(data.length);
  for (let i = 0; i < n; i++)
    for (let j = 0; j < a; j++) for (let k = 0; k < b; k++) moved[(i * b + k) * a + j] = data[(i * a + j) * b + k];
  return moved;
}

/** One at a time: what is left over of a whole file would count as memory of the first calls. */
function readTensors(folder, table) {
  const file = openSync(join(folder, 'tensors.f32'));
  try {
    return Object.fromEntries(
      table.map(({ name, size }) => {
        const values = new Float32Array(size);
        readSync(file, values);
        return [name, values];
      }),
    );
  } finally {
    closeSync(file);
  }
}

const write = (file, parts) =>
  writeFileSync(file, Buffer.concat(parts.map((p) => Buffer.from(p.buffer, p.byteOffset, p.byteLength))));

async function prepare(work, folder) {
  const run = runOf(work);
  const { size, channels } = run.data;
  const { batch, severities } = work;
  const { x: official, ...weights } = readTensors(folder, work.tensors);
  const images = moveChannels(official, [batch, channels, size * size]);
  const toNchw = (data) => moveChannels(data, [batch, size * size, channels]);
  const degradation = degradationOf(run);
  const tables = tableInputs(degradation);
  const engine = await openEngine({ kind: 'onnx-cpu', workers: 1 });

  if (work.kind === 'degrade') {
    const compiled = await engine.load(degradationProgram(run, batch, degradation));
    call = (k) =>
      compiled.run({ weights: {}, inputs: { x0: images, severity: Int32Array.from(severities[k]), ...tables } });
    result = async (file) => write(file, [toNchw((await call(0)).degraded)]);
    return;
  }

  const specs = networkWeightSpecs(run.network, run.data);
  /** One weight in stored order; taken out of `weights`, since peak memory is measured. */
  const takeStored = (w) => {
    const data = toStored(w, fromOfficial(specs[w.name], weights[w.name]));
    delete weights[w.name];
    return data;
  };
  if (work.kind === 'sample') {
    const { samplingProgram } = await built('sampler/dist/models/index.js');
    const program = samplingProgram(run, batch, degradation);
    const inputsOf = (k) => {
      const [severity] = severities[k];
      const at = (s) => new Int32Array(batch).fill(s);
      const t = new Float32Array(batch).fill(severity - 1);
      return { x: images, t, severity: at(severity), nextSeverity: at(severity - 1), ...tables };
    };
    result = async (file, k) => write(file, [toNchw((await call(k)).next)]);
    if (constant) {
      const shared = Object.fromEntries(
        Object.keys(program.weights).map((name) => {
          const copy = new Float32Array(new SharedArrayBuffer(weights[name].byteLength));
          copy.set(fromOfficial(specs[name], weights[name]));
          delete weights[name];
          return [name, copy];
        }),
      );
      const fixed = await engine.openFixed([program], shared);
      call = (k) => fixed.programs[0].run({ weights: {}, inputs: inputsOf(k) });
      return;
    }
    const compiled = await engine.load(program);
    const values = Object.fromEntries(
      compiled.weights.map((w) => {
        const copy = new Float32Array(new SharedArrayBuffer(4 * w.size));
        copy.set(takeStored(w));
        return [w.name, copy];
      }),
    );
    call = (k) => compiled.run({ weights: values, weightsVersion: 0, inputs: inputsOf(k) });
    return;
  }

  const { averageUpdateOf, createLayout, simdKernels } = await built('trainer/dist/index.js');
  const compiled = await engine.load(trainingProgram(run, batch, degradation));
  const layout = createLayout(compiled.weights, 1);
  const kernels = simdKernels({ capacityBytes: 5 * 4 * layout.valueCount + 65_536 });
  const zeros = () => kernels.float32(layout.valueCount);
  const arrays = { weights: zeros(), ema: zeros(), firstMoment: zeros(), secondMoment: zeros() };
  layout.tensors.forEach(({ offset }, i) => arrays.weights.set(takeStored(compiled.weights[i]), offset));
  arrays.ema.set(arrays.weights);
  const views = Object.fromEntries(
    layout.tensors.map(({ name, offset, size: count }) => [name, arrays.weights.subarray(offset, offset + count)]),
  );
  let gradient = new Float32Array(layout.valueCount);
  const sums = kernels.int32(layout.valueCount);
  const [maxima, largest] = [new Float32Array(layout.blockCount), new Uint32Array(layout.blockCount)];
  const update = {
    sums,
    exponents: new Int8Array(layout.blockCount).fill(-40),
    laneCount: 1,
    adam: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, stepSize: 2e-4, secondMomentScale: 0.0316 },
    average: averageUpdateOf({ every: 1, startStep: 0, decay: 0.995 }, 10),
  };
  let version = 0;
  // The engine fills the lane's gradient, which goes to its thread and back, as in a trainer.
  const gradients = async (k) => {
    const into = layout.tensors.map(({ name, offset, size: count }) => [
      gradientName(name),
      gradient.subarray(offset, offset + count),
    ]);
    const outputs = await compiled.run({
      weights: views,
      weightsVersion: version++,
      inputs: { x0: images, severity: Int32Array.from(severities[k]), ...tables },
      into: Object.fromEntries(into),
    });
    gradient = new Float32Array(outputs[gradientName(layout.tensors[0].name)].buffer);
    return outputs;
  };
  // What a trainer that computes the only lane does in a step, but for the network.
  call = async (k) => {
    await gradients(k);
    kernels.blockMaxima(layout, 0, layout.blockCount, gradient, maxima);
    sums.fill(0);
    kernels.addQuantised(layout, 0, layout.blockCount, gradient, update.exponents, sums, 0);
    kernels.update(layout, 0, layout.blockCount, arrays, update, largest);
  };
  // Asked for before the first step: gradients at the weights that both sides were given.
  result = async (file) => {
    const outputs = await gradients(0);
    const places = new Map(compiled.weights.map((w) => [w.name, w]));
    const parts = [outputs.loss];
    for (const { name } of work.tensors)
      if (places.has(name))
        parts.push(toOfficial(specs[name], fromStored(places.get(name), outputs[gradientName(name)])));
    write(file, parts);
  };
}

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  const answer = {};
  if (request.do === 'prepare') {
    await prepare(request.work, request.folder);
    globalThis.gc(); // what preparation leaves is nobody's memory
  } else if (request.do === 'result') await result(request.file, request.index ?? 0);
  else {
    resetPeakRss();
    const before = process.cpuUsage();
    await call(request.index);
    const { user, system } = process.cpuUsage(before);
    answer.cpuMs = (user + system) / 1000;
    answer.peakRssMiB = peakRssMiB();
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
process.exit(0);
