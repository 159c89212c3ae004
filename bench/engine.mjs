// npm run bench -- engine [--json] [--only <part of a name>] [--rounds <n>] [--few-rounds <n>] [--compile]
// CPU time of training steps, forward passes and the optimizer, one thread, beside PyTorch in the same rounds: every
// contestant is a process of its own, and they take turns call by call. PyTorch is used if `python3`, or the Python
// that THAW_BENCH_PYTHON names, can import torch. The gradients (or images) of both sides are compared as well.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { median, relativeError, round, textOption } from './comparison.mjs';
import { contestants, findPython, start } from './engine/children.mjs';
import { writeTensors } from './engine/network.mjs';
import { measureWorkers } from './engine/workers.mjs';
import { works } from './engine/works.mjs';
import { keep, machine, numberOption, wantsJson } from './results.mjs';

const torch = findPython();
const before = machine();
const say = (line) => process.stderr.write(`${line}\n`);
const warmUpCalls = 2;

async function measure(work) {
  const folder = mkdtempSync(join(tmpdir(), 'thaw-bench-'));
  const running = [];
  try {
    const tensors = work.kind === 'adam' ? [] : writeTensors(work, folder);
    for (const contestant of contestants(work.kind, torch, process.argv.includes('--compile'))) {
      const process_ = start(contestant);
      running.push({ ...contestant, ...process_, times: [], peakRssMiB: 0 });
      await process_.ask({ do: 'prepare', folder, work: { ...work, tensors, compile: contestant.compile } });
      for (let i = 0; i < warmUpCalls; i++) await process_.ask({ do: 'call' });
    }
    for (let i = 0; i < work.rounds; i++)
      for (const one of running) {
        const { cpuMs, peakRssMiB } = await one.ask({ do: 'call' });
        one.times.push(cpuMs);
        one.peakRssMiB = Math.max(one.peakRssMiB, peakRssMiB);
      }
    const peer = running.find((one) => !one.ours);
    const errors = {};
    if (peer !== undefined && (work.kind === 'train' || work.kind === 'forward'))
      for (const one of running.filter((candidate) => candidate.ours)) {
        await peer.ask({ do: 'result', file: join(folder, 'peer') });
        await one.ask({ do: 'result', file: join(folder, 'ours') });
        const skip = work.kind === 'train' ? 1 : 0;
        errors[one.name] = round(relativeError(join(folder, 'ours'), join(folder, 'peer'), skip), 2);
      }
    return summary(work, running, errors);
  } finally {
    await Promise.all(running.map((one) => one.end().catch(() => undefined)));
    rmSync(folder, { recursive: true, force: true });
  }
}

function summary({ work, kind, target, rounds }, running, errors) {
  const mine = running.filter((one) => one.ours).sort((a, b) => median(a.times) - median(b.times));
  const others = running.filter((one) => !one.ours);
  const values = (list) => Object.fromEntries(list.map((one) => [one.name, round(median(one.times), 4)]));
  const best = others.length === 0 ? undefined : Math.min(...others.map((one) => median(one.times)));
  const low = Math.min(...mine[0].times);
  const high = Math.max(...mine[0].times);
  return {
    work,
    ours: round(median(mine[0].times), 4),
    oursIs: mine[0].name,
    ...(mine.length > 1 && { oursOther: values(mine.slice(1)) }),
    peers: values(others),
    unit: kind === 'serving' ? 'CPU ms of a call of every batch size, median' : 'CPU ms per call, median',
    ratio: best === undefined ? null : round(best / median(mine[0].times), 3),
    spread: `${round(low, 3)}..${round(high, 3)} of ${rounds} rounds`,
    target,
    best: Object.fromEntries(running.map((one) => [one.name, round(Math.min(...one.times), 4)])),
    peakRssMiB: Object.fromEntries(running.map((one) => [one.name, Math.round(one.peakRssMiB)])),
    relativeErrorToTorch: errors,
  };
}

if (torch === undefined) say('No Python with torch was found (THAW_BENCH_PYTHON, python3): ratios will be null.');
const selected = works({ rounds: numberOption('rounds', 9), fewRounds: numberOption('few-rounds', 7) }).filter(
  ({ work }) => work.includes(textOption('only')),
);
const results = [];
for (const work of selected) {
  const result = await (work.kind === 'workers' ? measureWorkers(work, torch) : measure(work));
  results.push(result);
  const peers = Object.entries(result.peers).map(([name, value]) => `${name} ${value}`);
  const peaks = Object.entries(result.peakRssMiB ?? {}).map(([name, value]) => `${name} ${value}`);
  say(`${result.work}: ${result.oursIs} ${result.ours} ms; ${peers.join(', ')}; ratio ${result.ratio}`);
  if (peaks.length > 0) say(`  peak MiB: ${peaks.join(', ')}`);
}

// Fixed cost of a training call: where the line through batches 2 and 8 meets batch 0.
const step = (batch) => results.find(({ work }) => work === `training step, small 28 px, batch ${batch}`);
if (step(2) && step(8)) {
  const intercept = (pick) => round(pick(step(2)) - (2 * (pick(step(8)) - pick(step(2)))) / 6, 3);
  results.push({
    work: 'training step, small 28 px: fixed cost of a call, from batches 2 and 8',
    ours: intercept(({ ours }) => ours),
    peers: Object.fromEntries(Object.keys(step(2).peers).map((name) => [name, intercept(({ peers }) => peers[name])])),
    unit: 'CPU ms per call',
    ratio: null,
    spread: 'of medians',
    target: 20,
  });
}
const name = textOption('only') === '' ? 'engine' : `engine-${textOption('only').replace(/\W+/g, '-')}`;
keep(name, before, {
  command: ['npm run bench -- engine', ...process.argv.slice(2)].join(' '),
  torch: torch?.torch ?? null,
  results,
});
if (!wantsJson()) console.log(results.map((r) => `${r.work}: ratio ${r.ratio}, to reach ${r.target}`).join('\n'));
console.log(JSON.stringify(results));
