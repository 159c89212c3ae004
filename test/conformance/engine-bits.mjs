// A process that writes the fingerprints of an engine for a run's training step and restoration, each of programs loaded anew. Runs on the
// build. Arguments: kind of engine, its workers, how often, run as JSON.
import { degradationOf, restorationProgram, tableInputs, trainingProgram } from '@thaw/shared/diffusion';
import { openEngine, probeFingerprint } from '@thaw/shared/engine';
import { RunConfigSchema } from '@thaw/shared/protocol';

const [kind, workers, times, text] = process.argv.slice(2);
const run = RunConfigSchema.parse(JSON.parse(text));
const tables = tableInputs(degradationOf(run));
const probeInput = (name, size) => (/severity/i.test(name) ? new Int32Array(size).fill(1) : tables[name]);

async function fingerprint(engine) {
  const programs = [trainingProgram(run, 2), restorationProgram(run, 3)];
  const loaded = await Promise.all(programs.map((program) => engine.load(program)));
  const { sha256, fields } = await probeFingerprint(
    engine,
    loaded.map((compiled) => ({ compiled, probeInput })),
  );
  for (const compiled of loaded) await compiled.dispose();
  return { sha256, fields };
}

const fingerprints = [];
const engine = await openEngine({ kind, workers: Number(workers) });
for (let time = 0; time < Number(times); time += 1) fingerprints.push(await fingerprint(engine));
await engine.close();
process.stdout.write(`${JSON.stringify(fingerprints)}\n`);
