// npm run bench -- engine-compile [--rounds <n>] [--only <part of a name>] [--json]
// What it takes to make a program ready, stage by stage, in CPU ms on one thread: trace (tfjs, with its gradients), simplify, lower (layouts,
// convolutions, order), encode (ONNX bytes and digests), session (ONNX Runtime reads, optimises and loads the graph). A lowered
// program that was kept (`OnnxEngine.loadProgram`) needs only to be verified and its session. The first round also pays for code that
// runs for the first time, as a process does that starts; it is given by itself. No peer: `torch.compile` takes a minute and more.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import ort from 'onnxruntime-node';
import { simplify, trace } from '@thaw/shared/engine';
import { unet, unetWeightSpecs } from '@thaw/shared/model';
import * as tf from '@tensorflow/tfjs-core';
import { median, round, textOption } from './comparison.mjs';
import { networkOf } from './engine/network.mjs';
import { works } from './engine/works.mjs';
import { keep, machine, numberOption, wantsJson } from './results.mjs';

const engine = (path) => import(new URL(`../shared/dist/engine/${path}`, import.meta.url).href);
const { lowerSimplified, lowerToModel, resolveFor } = await engine('lower/lower.js');
const { programDigest } = await engine('lower/digest.js');
const { sessionOptions } = await engine('run/session-options.js');

const before = machine();
const rounds = numberOption('rounds', 5);
const capabilities = { blockedConv: 16 };

function definitionOf({ kind, batch, size, channels, ...work }) {
  const network = networkOf(work);
  const specs = unetWeightSpecs(network, channels);
  const image = { shape: [batch, size, size, channels], dtype: 'float32' };
  const forward = {
    name: kind,
    weights: Object.fromEntries(Object.keys(specs).map((n) => [n, { shape: specs[n].modelShape, dtype: 'float32' }])),
    inputs: { x: image, t: { shape: [batch], dtype: 'float32' } },
    fn: (weights, { x, t }) => ({ y: unet(weights, x, t, network) }),
  };
  if (kind === 'forward') return forward;
  return {
    ...forward,
    inputs: { ...forward.inputs, target: image },
    fn: (weights, { x, t, target }) => ({ loss: tf.mean(tf.abs(tf.sub(unet(weights, x, t, network), target))) }),
    gradientOf: 'loss',
  };
}

/** One after the other: CPU ms of every stage, and what came out. */
async function compileOnce(definition) {
  const times = {};
  const stage = async (name, work) => {
    const began = process.cpuUsage();
    const made = await work();
    const { user, system } = process.cpuUsage(began);
    times[name] = (user + system) / 1000;
    return made;
  };
  const graph = await stage('trace', () => trace(definition));
  const simplified = await stage('simplify', () => simplify(graph));
  const options = { capabilities };
  const { model } = await stage('lower', () => lowerToModel(simplified, resolveFor(simplified, options)));
  const program = await stage('lower and encode', () => lowerSimplified(simplified, options));
  times.encode = Math.max(0, times['lower and encode'] - times.lower);
  delete times['lower and encode'];
  await stage('verify a kept program', () => programDigest(program));
  const session = await stage('session', () => ort.InferenceSession.create(program.onnx, sessionOptions('cpu')));
  await session.release();
  times.cold = times.trace + times.simplify + times.lower + times.encode + times.session;
  times.kept = times['verify a kept program'] + times.session;
  return { times, nodes: model.nodes.length, bytes: program.onnx.length };
}

async function measure(work) {
  const definition = definitionOf(work);
  const all = [];
  for (let i = 0; i < rounds; i++) all.push(await compileOnce(definition));
  const names = Object.keys(all[0].times);
  return {
    work: `making ready: ${work.work}`,
    ours: round(median(all.map(({ times }) => times.cold)), 3),
    peers: {},
    unit: 'CPU ms, median',
    ratio: null,
    spread: `${rounds} rounds in one process`,
    target: null,
    stages: Object.fromEntries(names.map((name) => [name, round(median(all.map(({ times }) => times[name])), 3)])),
    firstInProcess: Object.fromEntries(names.map((name) => [name, round(all[0].times[name], 3)])),
    onnxNodes: all[0].nodes,
    onnxBytes: all[0].bytes,
  };
}

const selected = works({ rounds, fewRounds: rounds }).filter(
  ({ kind, work, batch }) =>
    (kind === 'train' || (kind === 'forward' && batch === 4)) && work.includes(textOption('only')),
);
if (process.argv.includes('--here')) {
  console.log(JSON.stringify(await measure(selected[0])));
  process.exit(0);
}
const results = [];
for (const work of selected) {
  // A process of its own for each.
  const { stdout } = spawnSync(
    process.execPath,
    [fileURLToPath(import.meta.url), '--here', '--only', work.work, '--rounds', `${rounds}`],
    { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const row = JSON.parse(stdout.split('\n').find((line) => line.startsWith('{')));
  results.push(row);
  process.stderr.write(`${row.work}: ${JSON.stringify(row.stages)}, first ${row.firstInProcess.cold}\n`);
}
keep('engine-compile', before, { results });
if (!wantsJson()) console.log(results.map((r) => `${r.work}: ${r.ours} ms`).join('\n'));
console.log(JSON.stringify(results));
