// The run of a work, and its tensors in official order and shape for both sides.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { initialWeights, networkWeightSpecs, toOfficial } from '@thaw/shared/model';
import { RunConfigSchema } from '@thaw/shared/protocol';
import { RandomStream } from '@thaw/shared/runtime';
import { parse } from 'yaml';

export const runOf = ({ file }) =>
  RunConfigSchema.parse(parse(readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8')));

/** Severities of every call: one per image, drawn once for both sides; in sampling all images stand at the same. */
export function severitiesOf({ kind, batch, at, rounds }, steps, warmUp) {
  if (kind === 'sample') return at.map((severity) => new Array(batch).fill(severity));
  const stream = new RandomStream(3, 'severity');
  return Array.from({ length: rounds + warmUp }, () => Array.from({ length: batch }, () => 1 + stream.below(steps)));
}

/** Writes weights and images, and gives their table. */
export function writeTensors(work, run, folder) {
  const { size, channels } = run.data;
  const tensors = [];
  if (work.kind !== 'degrade') {
    const weights = initialWeights(run.network, run.data, 1);
    for (const [name, spec] of Object.entries(networkWeightSpecs(run.network, run.data)))
      tensors.push([name, spec.officialShape, toOfficial(spec, weights[name])]);
  }
  const stream = new RandomStream(1, 'probe');
  const pixels = Float32Array.from({ length: work.batch * channels * size * size }, () => 2 * stream.uniform() - 1);
  tensors.push(['x', [work.batch, channels, size, size], pixels]);
  writeFileSync(
    join(folder, 'tensors.f32'),
    Buffer.concat(tensors.map(([, , data]) => Buffer.from(data.buffer, data.byteOffset, data.byteLength))),
  );
  return tensors.map(([name, shape, data]) => ({ name, shape, size: data.length }));
}
