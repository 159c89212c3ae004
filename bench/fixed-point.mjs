// Does quantising gradients change training? The demonstration's run, several seeds, each with fp32 sums, with fp32 sums in another order
// (the control: what rounding alone does to a curve), and in fixed point.
// npm run bench -- fixed-point [--steps 300] [--seeds 3] [--first-seed 1] [--window 50] [--workers 2] [--json]
import { readFileSync } from 'node:fs';
import { openMnist, packDataset } from '@thaw/shared/data';
import { RunConfigSchema } from '@thaw/shared/protocol';
import { MemoryStore } from '@thaw/shared/storage';
import { parse } from 'yaml';
import { compareCurves, openTraining, trainInFixedPoint, trainInFp32, withinSpread } from './fixed-point-training.mjs';
import { keep, machine, numberOption, wantsJson } from './results.mjs';

const steps = numberOption('steps', 300);
const seeds = Array.from({ length: numberOption('seeds', 3) }, (_, i) => i + numberOption('first-seed', 1));
const windowSteps = numberOption('window', 50);
const workers = numberOption('workers', 2);
const before = machine();
const demo = parse(readFileSync(new URL('../examples/mnist-demo.yaml', import.meta.url), 'utf8'));

const store = new MemoryStore();
const { train, test } = await openMnist();
await packDataset(
  store,
  { train, test },
  {
    name: demo.data.dataset,
    preprocessing: { method: 'pillow-bilinear', size: demo.data.size },
    shardBytes: 4 << 20,
  },
);
const curves = [];
/** Kept after every seed, so that a measurement that is cut short leaves what it has. */
const keepSoFar = () => {
  const windows = compareCurves(curves, windowSteps);
  return keep('fixed-point', before, { run: demo.name, steps, windowSteps, ...withinSpread(windows), windows, curves });
};
let entry;
for (const seed of seeds) {
  const training = await openTraining(RunConfigSchema.parse({ ...demo, seed }), store, { workers });
  const fp32 = await trainInFp32(training, steps);
  process.stderr.write(`seed ${seed}, fp32: loss ${fp32.losses.at(-1).toFixed(4)}\n`);
  const fp32FromLastLane = await trainInFp32(training, steps, { fromLastLane: true });
  process.stderr.write(`seed ${seed}, fp32 from the last lane: loss ${fp32FromLastLane.losses.at(-1).toFixed(4)}\n`);
  const fixedPoint = await trainInFixedPoint(training, steps);
  process.stderr.write(`seed ${seed}, fixed point: loss ${fixedPoint.losses.at(-1).toFixed(4)}\n`);
  await training.close();
  const farthest = (other) =>
    fp32.weights.reduce((largest, weight, i) => Math.max(largest, Math.abs(weight - other.weights[i])), 0);
  curves.push({
    seed,
    fp32: fp32.losses,
    fp32FromLastLane: fp32FromLastLane.losses,
    fixedPoint: fixedPoint.losses,
    largestWeightDifference: farthest(fixedPoint),
    largestWeightDifferenceOfControl: farthest(fp32FromLastLane),
  });
  entry = keepSoFar();
}
const { windows, within, inside, insideOfControl, expected, of } = entry;
if (wantsJson()) console.log(JSON.stringify({ ...entry, curves: undefined }));
else {
  console.table(
    windows.map(({ fromStep, throughStep, spread, difference, meanDifference, differenceRms, controlRms }) => ({
      steps: `${fromStep}-${throughStep}`,
      'spread of seeds': spread.toFixed(6),
      'largest difference': difference.toFixed(6),
      'mean difference': meanDifference.toFixed(6),
      'rms difference': differenceRms.toFixed(6),
      'rms of the control': controlRms.toFixed(6),
    })),
  );
  console.log(
    `Inside the fp32 curves: ${inside} of ${of} windows in fixed point, ${insideOfControl} of the control; ` +
      `one more seed: ${expected.toFixed(1)} expected. ${within ? 'Within' : 'NOT within'} the spread of the seeds.`,
  );
}
process.exit(within ? 0 : 1);
