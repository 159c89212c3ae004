// What a second worker brings on a second core, and what stands in its way: beside one worker with two, the same work is done by two
// processes that share nothing, ours and PyTorch's; and every operator is timed while nothing else runs and while a second process does the
// same. Processes that share nothing are slowed down only by what cores share: memory, caches, clock.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { median, round } from '../comparison.mjs';
import { contestants, start } from './children.mjs';
import { writeTensors } from './network.mjs';

const calls = 4;
const warmUpCalls = 2;
const profiledCalls = 15;

/** Wall-clock milliseconds of `calls` steps: what several workers are for. */
export async function measureWorkers(work, torch) {
  const folder = mkdtempSync(join(tmpdir(), 'thaw-bench-'));
  const started = [];
  try {
    const tensors = writeTensors(work, folder);
    const begin = async (contestant, callsAtOnce) => {
      const process_ = start(contestant);
      started.push(process_);
      await process_.ask({ do: 'prepare', folder, work: { ...work, tensors, calls: callsAtOnce } });
      return process_;
    };
    const { one, two, torch: peer } = contestants('workers', torch, false);
    const groups = {
      'one worker': [await begin(one, calls)],
      'two workers': [await begin(two, calls)],
      'two processes': [await begin(one, calls / 2), await begin(one, calls / 2)],
      ...(peer && {
        'torch, one process': [await begin(peer, calls)],
        'torch, two processes': [await begin(peer, calls / 2), await begin(peer, calls / 2)],
      }),
    };
    const times = Object.fromEntries(Object.keys(groups).map((name) => [name, []]));
    for (let i = 0; i < warmUpCalls + work.rounds; i++)
      for (const [name, group] of Object.entries(groups)) {
        const answers = await Promise.all(group.map((process_) => process_.ask({ do: 'call' })));
        if (i >= warmUpCalls) times[name].push(Math.max(...answers.map(({ wallMs }) => wallMs)));
      }
    const profileOf = (processes) =>
      Promise.all(processes.map((process_) => process_.ask({ do: 'profile', calls: profiledCalls })));
    const [first] = groups['two processes'];
    const [alone] = await profileOf([first]);
    const [together] = await profileOf(groups['two processes']);
    return summary(work, times, alone.operators, together.operators);
  } finally {
    await Promise.all(started.map((process_) => process_.end().catch(() => undefined)));
    rmSync(folder, { recursive: true, force: true });
  }
}

function summary({ work, target, rounds }, times, alone, together) {
  const ms = (name) => round(median(times[name]), 4);
  const ratio = (slow, fast) => round(median(times[slow]) / median(times[fast]), 3);
  const mine = times['two workers'];
  const operators = Object.entries(alone)
    .sort((a, b) => b[1] - a[1])
    .map(([operator, before]) => {
      const after = together[operator] ?? 0;
      return { operator, alone: round(before, 3), together: round(after, 3), slowdown: round(after / before, 3) };
    });
  const sum = (profile) => Object.values(profile).reduce((total, value) => total + value, 0);
  return {
    work,
    ours: ms('two workers'),
    oursIs: 'two workers',
    peers: { 'one worker': ms('one worker') },
    unit: `wall-clock ms of ${calls} calls, median`,
    ratio: ratio('one worker', 'two workers'),
    spread: `${round(Math.min(...mine), 3)}..${round(Math.max(...mine), 3)} of ${rounds} rounds`,
    target,
    controls: {
      'two processes against one worker': ratio('one worker', 'two processes'),
      ...(times['torch, one process'] && {
        'two torch processes against one': ratio('torch, one process', 'torch, two processes'),
      }),
      ms: Object.fromEntries(Object.keys(times).map((name) => [name, ms(name)])),
    },
    profile: {
      what: 'ms of a step by ONNX operator: one process alone, and beside a second one that does the same',
      slowdown: round(sum(together) / sum(alone), 3),
      operators,
    },
  };
}
