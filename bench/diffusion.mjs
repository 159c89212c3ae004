// npm run bench -- diffusion [--json] [--only <part of a name>] [--rounds <n>] [--few-rounds <n>]
// CPU time and memory of degradation, training steps and Algorithm 2 by blur, one thread, beside PyTorch with the official way to blur (one
// convolution per step), in the same rounds. PyTorch is used if `python3`, or the Python that THAW_BENCH_PYTHON names, can import torch.
// Algorithm 2 is measured at a few severities; the cost of a whole image is the sum over all severities on the lines between them.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { median, relativeError, round, textOption } from './comparison.mjs';
import { runOf, severitiesOf, writeTensors } from './diffusion/inputs.mjs';
import { works } from './diffusion/works.mjs';
import { findPython, start } from './engine/children.mjs';
import { keep, machine, numberOption, wantsJson } from './results.mjs';

const torch = findPython();
const before = machine();
const say = (line) => process.stderr.write(`${line}\n`);
const warmUp = 1;

const part = (path) => fileURLToPath(new URL(path, import.meta.url));
const own = (name, variant) => ({
  name,
  ours: true,
  command: [process.execPath, '--expose-gc', part('diffusion/ours.mjs'), variant],
});
/** Of a kind of work; the first is the one whose ratio is said. Samplers fix the weights in the graph. */
const contestantsOf = (kind) => [
  ...(kind === 'sample' ? [own('thaw, constant weights', 'constant')] : []),
  own('thaw', 'inputs'),
  ...(torch === undefined ? [] : peers),
];
const peers = ['contiguous', 'channels_last'].map((layout) => ({
  name: `torch ${layout === 'contiguous' ? 'NCHW' : layout}`,
  ours: false,
  command: [torch?.python, part('peers/torch_diffusion.py'), layout],
}));

/** CPU milliseconds of a call at every severity from T to 1, on the lines between those measured. */
function overAllSeverities(at, values) {
  let total = 0;
  for (let k = 0; k + 1 < at.length; k++)
    for (let s = at[k]; s > at[k + 1]; s--)
      total += values[k + 1] + ((values[k] - values[k + 1]) * (s - at[k + 1])) / (at[k] - at[k + 1]);
  return total + values.at(-1);
}

async function measure(given) {
  const run = runOf(given);
  const work = { ...given, network: run.network, degradation: run.degradation };
  work.severities = severitiesOf(work, run.degradation.steps, warmUp);
  const folder = mkdtempSync(join(tmpdir(), 'thaw-bench-'));
  const running = [];
  try {
    work.tensors = writeTensors(work, run, folder);
    for (const contestant of contestantsOf(work.kind)) {
      const child = start(contestant);
      running.push({ ...contestant, ...child, cpuMs: work.severities.map(() => []), peakRssMiB: 0 });
      await child.ask({ do: 'prepare', folder, work });
    }
    const errors = {};
    const peer = running.find(({ ours }) => !ours);
    if (peer !== undefined) {
      const files = ['ours', 'peer'].map((name) => join(folder, name));
      await peer.ask({ do: 'result', file: files[1], index: 0 });
      for (const mine of running.filter(({ ours }) => ours)) {
        await mine.ask({ do: 'result', file: files[0], index: 0 });
        errors[mine.name] = round(relativeError(files[0], files[1]), 2);
      }
    }
    // Every call of a round has severities of its own, equal on all sides; in sampling a round is one call per severity.
    const calls = work.kind === 'sample' ? work.at.map((_, k) => k) : [];
    const sequence =
      work.kind === 'sample'
        ? [0, ...Array.from({ length: work.rounds }, () => calls).flat()]
        : work.severities.map((_, k) => k);
    for (const [position, index] of sequence.entries())
      for (const one of running) {
        const { cpuMs, peakRssMiB } = await one.ask({ do: 'call', index });
        if (position >= warmUp) one.cpuMs[index].push(cpuMs);
        one.peakRssMiB = Math.max(one.peakRssMiB, peakRssMiB);
      }
    return summary(work, running, errors);
  } finally {
    await Promise.all(running.map((one) => one.end().catch(() => undefined)));
    rmSync(folder, { recursive: true, force: true });
  }
}

function summary(work, running, errors) {
  const sampling = work.kind === 'sample';
  /** Per image: of the median call, or of the whole way from T to 1. */
  const perImage = ({ cpuMs }) =>
    (sampling ? overAllSeverities(work.at, cpuMs.map(median)) : median(cpuMs.flat())) / work.batch;
  const named = (pick) => Object.fromEntries(running.map((one) => [one.name, pick(one)]));
  const mine = running.find(({ ours }) => ours);
  const peers = running.filter(({ ours }) => !ours).map(perImage);
  return {
    work: work.work,
    cpuMsPerImage: named((one) => round(perImage(one), 4)),
    ratio: peers.length === 0 ? null : round(Math.min(...peers) / perImage(mine), 3),
    target: work.target,
    rounds: work.rounds,
    ...(sampling && {
      severities: work.at,
      cpuMsPerCall: named(({ cpuMs }) => cpuMs.map((values) => round(median(values), 4))),
    }),
    peakRssMiB: named(({ peakRssMiB }) => Math.round(peakRssMiB)),
    relativeErrorToTorch: errors,
  };
}

if (torch === undefined) say('No Python with torch was found (THAW_BENCH_PYTHON, python3): ratios will be null.');
const selected = works({ rounds: numberOption('rounds', 9), fewRounds: numberOption('few-rounds', 5) }).filter(
  ({ work }) => work.includes(textOption('only')),
);
const results = [];
for (const work of selected) {
  const result = await measure(work);
  results.push(result);
  const costs = Object.entries(result.cpuMsPerImage).map(([name, value]) => `${name} ${value}`);
  const memory = Object.entries(result.peakRssMiB).map(([name, value]) => `${name} ${value}`);
  say(
    `${result.work}: CPU ms per image ${costs.join(', ')}; ratio ${result.ratio}; peak memory in MiB ${memory.join(', ')}`,
  );
}
const name = textOption('only') === '' ? 'diffusion' : `diffusion-${textOption('only').replace(/\W+/g, '-')}`;
keep(name, before, {
  command: ['npm run bench -- diffusion', ...process.argv.slice(2)].join(' '),
  torch: torch?.torch ?? null,
  results,
});
if (!wantsJson())
  for (const { work, ratio, target, peakRssMiB } of results) {
    const [mine, ...others] = Object.entries(peakRssMiB);
    const memory = [mine, ...others.filter(([name]) => name.startsWith('torch'))].map(([, mib]) => mib).join(' / ');
    console.log(`${work}: ratio ${ratio}, to reach ${target ?? 'nothing set'}; peak memory ${memory} MiB`);
  }
console.log(JSON.stringify(results));
