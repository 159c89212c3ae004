/** Every program that a run compiles gives on ONNX Runtime what tfjs gives op by op. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  algorithm2Program,
  contextInputs,
  degradationOf,
  degradationProgram,
  restorationProgram,
  tableInputs,
  trainingProgram,
} from '@thaw/shared/diffusion';
import type { Degradation } from '@thaw/shared/diffusion';
import { fromStored, openEngine, toStored } from '@thaw/shared/engine';
import type { Compiled, Engine, ProgramDefinition, TensorData } from '@thaw/shared/engine';
import { initialWeights } from '@thaw/shared/model';
import { RunConfigSchema } from '@thaw/shared/protocol';
import type { RunConfig } from '@thaw/shared/protocol';
import { RandomStream } from '@thaw/shared/runtime';

const batch = 3;
const size = 16;
const runOf = (degradation: object): RunConfig =>
  RunConfigSchema.parse({
    format: 'thaw.run/1',
    name: 'small',
    seed: 3,
    data: { dataset: 'none', size, channels: 3 },
    degradation,
    network: { kind: 'convnext-unet', dim: 8, mults: [1, 2], residual: true },
    optimizer: { learningRate: 1e-3 },
    batch: { global: 6, micro: 3 },
    steps: 1,
  });

function inputsOf(run: RunConfig, degradation: Degradation): Record<string, TensorData> {
  const contexts = Array.from({ length: batch }, (_, row) =>
    degradation.drawContext(new RandomStream(run.seed, 'degradation', 0, 0, row)),
  );
  const image = (lane: number): Float32Array => {
    const stream = new RandomStream(run.seed, 'evaluation', 0, lane);
    return Float32Array.from({ length: batch * size * size * run.data.channels }, () => 2 * stream.uniform() - 1);
  };
  return {
    ...tableInputs(degradation),
    ...contextInputs(degradation, contexts),
    x0: image(0),
    x: image(1),
    restored: image(2),
    t: Float32Array.of(0, 3, 5),
    severity: Int32Array.of(1, 4, 6),
    nextSeverity: Int32Array.of(0, 3, 5),
  };
}

async function outputsOf(
  compiled: Compiled,
  official: Readonly<Record<string, Float32Array>>,
  everything: Readonly<Record<string, TensorData>>,
): Promise<Record<string, TensorData>> {
  const outputs = await compiled.run({
    weights: Object.fromEntries(
      compiled.weights.map((weight) => [weight.name, toStored(weight, official[weight.name]!)]),
    ),
    inputs: Object.fromEntries(compiled.inputs.map(({ name }) => [name, everything[name]!])),
  });
  for (const weight of compiled.weights) {
    const gradient = outputs[`grad/${weight.name}`];
    if (gradient !== undefined) outputs[`grad/${weight.name}`] = fromStored(weight, gradient as Float32Array);
  }
  return outputs;
}

describe.each<[string, object]>([
  ['blur', { family: 'blur', steps: 6, routine: 'Incremental', kernelSize: 5, kernelStd: 0.5 }],
  ['decolorization in Lab', { family: 'decolorization', steps: 6, routine: 'Linear', toLab: true }],
])('the programs of a run: %s', (_, config) => {
  const run = runOf(config);
  const degradation = degradationOf(run);
  const official = initialWeights(run.network, run.data, run.seed);
  const everything = inputsOf(run, degradation);
  let onnx: Engine;
  let oracle: Engine;
  beforeAll(async () => {
    onnx = await openEngine({ kind: 'onnx-cpu' });
    oracle = await openEngine({ kind: 'tfjs-wasm' });
  });
  afterAll(async () => {
    await onnx.close();
    await oracle.close();
  });

  it.each<[string, ProgramDefinition]>([
    ['training', trainingProgram(run, batch, degradation)],
    ['restoration', restorationProgram(run, batch)],
    ['degradation', degradationProgram(run, batch, degradation)],
    ['algorithm2', algorithm2Program(run, batch, degradation)],
  ])('%s', async (_, definition) => {
    const outputs = async (engine: Engine): Promise<Record<string, TensorData>> =>
      outputsOf(await engine.load(definition), official, everything);
    const [got, want] = [await outputs(onnx), await outputs(oracle)];
    expect(Object.keys(got).sort()).toEqual(Object.keys(want).sort());
    for (const [name, data] of Object.entries(want)) {
      const largest = Array.from(data).reduce((most, value) => Math.max(most, Math.abs(value)), 1e-6);
      const difference = Array.from(data).reduce(
        (most, value, i) => Math.max(most, Math.abs(value - got[name]![i]!)),
        0,
      );
      expect(got[name]!.length, name).toBe(data.length);
      expect(difference / largest, name).toBeLessThan(2e-4);
    }
  });
});
