/** Equal bits: of one engine over repeats, sessions, workers and processes; of a row of a sampler's batch wherever it stands. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { doctor, openEngine, type Engine } from '@thaw/shared/engine';
import { initialWeights } from '@thaw/shared/model';
import { RunConfigSchema } from '@thaw/shared/protocol';
import { RandomStream, silentLogger } from '@thaw/shared/runtime';
import { SamplerConfigSchema } from '@thaw/sampler';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RunPrograms } from '../../services/sampler/models/index.js';
import { smallRun } from '../small-run.fixture.js';

/** The same with both levels of one width. */
const base = { ...smallRun, name: 'bits', network: { ...smallRun.network, mults: [1, 1] } };

interface Fingerprint {
  readonly sha256: string;
  readonly fields: Readonly<Record<string, string>>;
}

const script = fileURLToPath(new URL('./engine-bits.mjs', import.meta.url));
const kinds = (await doctor())
  .filter(({ available, kind }) => available && (kind.startsWith('tfjs') || kind === 'onnx-cpu'))
  .map(({ kind }) => kind);

it.concurrent.each(kinds)(
  '%s has one fingerprint in every session, on every worker, in every process',
  async (kind) => {
    const run = (workers: number, times: number) =>
      promisify(execFile)(process.execPath, [script, kind, `${workers}`, `${times}`, JSON.stringify(base)]);
    const answers = await Promise.all([run(1, 2), run(kind === 'onnx-cpu' ? 2 : 1, 1)]);
    const [first, ...others] = answers.flatMap(({ stdout }) => JSON.parse(stdout) as Fingerprint[]);
    expect(others).toHaveLength(2);
    for (const other of others) expect(other).toEqual(first);
    for (const name of ['probe 0 training', 'probe 1 restoration'])
      expect(first!.fields[name]).toMatch(/^[0-9a-f]{64}$/);
  },
);

describe.each<[string, object]>([
  ['the ConvNeXt U-Net', base],
  [
    'the DDPM-style U-Net',
    { ...base, network: { kind: 'ddpm-unet', dim: 32, mults: [1, 2], blocks: 1, attentionSizes: [4] } },
  ],
])('a sampler with its default batch sizes and %s', (_, config) => {
  const run = RunConfigSchema.parse(config);
  const { batchSizes } = SamplerConfigSchema.parse({ storeUrl: 'memory:' });
  const largest = Math.max(...batchSizes);
  let engine: Engine;
  let programs: RunPrograms;
  beforeAll(async () => {
    engine = await openEngine({ kind: 'onnx-cpu' });
    programs = await RunPrograms.compile(engine, run, batchSizes);
  });
  afterAll(() => engine.close());

  it('gives a row the same bits in every place of every batch, padded or not', async () => {
    const network = programs.network(initialWeights(run.network, run.data, run.seed));
    await programs.prove(network, silentLogger);
    expect(programs.batchSizes).toContain(largest);
    const row = (seed: number) => {
      const stream = new RandomStream(seed, 'sampling');
      const severity = 1 + (seed % run.degradation.steps);
      const x = Float32Array.from({ length: 64 * run.data.channels }, () => 2 * stream.uniform() - 1);
      return { x, severity, nextSeverity: severity - 1, context: {} };
    };
    const watched = row(0);
    const [alone] = await programs.step(network, [watched]);
    for (let count = 2; count <= largest; count++)
      for (const place of new Set([0, count >> 1, count - 1])) {
        const rows = Array.from({ length: count }, (_, i) => (i === place ? watched : row(10 * count + i + 1)));
        const outputs = await programs.step(network, rows);
        expect(outputs[place], `place ${place} of ${count}`).toEqual(alone);
        expect(outputs[place === 0 ? 1 : 0]!.estimate).not.toEqual(alone!.estimate);
      }
    network.giveUp();
  });
});
