/** A process that runs one training step, to see what it takes: `measure-step.js <run file> <micro-batch> <recompute>`. Its last line is JSON. */
import { performance } from 'node:perf_hooks';
import { degradationOf, tableInputs, trainingProgram } from '@thaw/shared/diffusion';
import { openEngine, probeCall } from '@thaw/shared/engine';
import { recomputeOf } from '@thaw/shared/protocol';
import { readRunFile } from './run-file.js';

/** The second call needs what the first has kept as well. */
const calls = 2;

const [file = '', microBatch = '', recompute = 'none'] = process.argv.slice(2);
const run = readRunFile(file);
const tables = tableInputs(degradationOf(run));
const engine = await openEngine({});
const compiled = await engine.load(trainingProgram(run, Number(microBatch)), { recompute: recomputeOf(recompute) });
const call = probeCall(
  {
    compiled,
    probeInput: (name, size) => (/severity/i.test(name) ? new Int32Array(size).fill(1) : tables[name]),
  },
  0,
);
let milliseconds = 0;
for (let i = 0; i < calls; i++) {
  const begun = performance.now();
  await compiled.run(call);
  milliseconds = performance.now() - begun;
}
await engine.close();
const peakBytes = process.resourceUsage().maxRSS * 1024;
process.stdout.write(`${JSON.stringify({ peakBytes, milliseconds, engine: engine.describe().kind })}\n`);
