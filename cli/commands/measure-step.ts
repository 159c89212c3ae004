/** A process that runs one training step, to see what it takes: `measure-step.js <run file> <micro-batch> <recompute>`. Its last line is JSON. */
import { performance } from 'node:perf_hooks';
import { degradationOf, tableInputs, trainingProgram } from '@thaw/shared/diffusion';
import { openEngine, probeCall, type EngineKind } from '@thaw/shared/engine';
import { recomputeOf, ThawError, type ErrorCode } from '@thaw/shared/protocol';
import { readRunFile } from './run-file.js';

/** The second call needs what the first has kept as well. */
const calls = 2;

/** What the process says in the end. */
export type StepMeasured =
  | { readonly peakBytes: number; readonly milliseconds: number; readonly engine: EngineKind; readonly why: string }
  | { readonly refused: { readonly code: ErrorCode; readonly message: string; readonly cure: string | undefined } };

const [file = '', microBatch = '', recompute = 'none'] = process.argv.slice(2);

async function measure(): Promise<StepMeasured> {
  const run = readRunFile(file);
  const tables = tableInputs(degradationOf(run));
  const engine = await openEngine({});
  try {
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
    const peakBytes = process.resourceUsage().maxRSS * 1024;
    const { kind, reason } = engine.describe();
    return { peakBytes, milliseconds, engine: kind, why: reason };
  } finally {
    await engine.close();
  }
}

const measured = await measure().catch((error: unknown): StepMeasured => {
  if (!(error instanceof ThawError)) throw error;
  return { refused: { code: error.code, message: error.message, cure: error.cure } };
});
process.stdout.write(`${JSON.stringify(measured)}\n`);
