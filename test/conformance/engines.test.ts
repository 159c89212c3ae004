/**
 * The same small programs on every engine that this machine has, compared with the oracle (`tfjs-wasm`); the others are skipped, each with
 * its reason. `onnx-webgpu` counts as present where a Vulkan driver is; without a GPU, SwiftShader is one:
 * `VK_ICD_FILENAMES=/usr/lib/chromium/vk_swiftshader_icd.json npx vitest run --project conformance engines` (packages chromium, libvulkan1).
 * `tfjs-node` is present where scripts/tfjs-node.sh put it.
 */
import { doctor, fromStored, openEngine, probeFingerprint, toStored } from '@thaw/shared/engine';
import type { Compiled, Engine, EngineKind, ProgramDefinition, TensorData, TensorSpec } from '@thaw/shared/engine';
import {
  trainingProgram,
  algorithm2Program,
  restorationProgram,
  tableInputs,
  degradationOf,
} from '@thaw/shared/diffusion';
import { RunConfigSchema } from '@thaw/shared/protocol';
import { RandomStream } from '@thaw/shared/runtime';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { smallRun } from '../small-run.fixture.js';

const run = RunConfigSchema.parse(smallRun);
const programs: readonly ProgramDefinition[] = [
  trainingProgram(run, 2),
  restorationProgram(run, 2),
  algorithm2Program(run, 2),
];
const tables = tableInputs(degradationOf(run));

const sizeOf = ({ shape }: TensorSpec): number => shape.reduce((product, length) => product * length, 1);
function drawn(specs: Readonly<Record<string, TensorSpec>>, range: number): Record<string, TensorData> {
  return Object.fromEntries(
    Object.entries(specs).map(([name, spec], lane) => {
      const stream = new RandomStream(3, 'probe', 0, lane);
      const values = Array.from({ length: sizeOf(spec) }, () => range * (2 * stream.uniform() - 1));
      return [
        name,
        spec.dtype === 'int32' ? Int32Array.from(values, (_, i) => 1 + (i % 2)) : Float32Array.from(values),
      ];
    }),
  );
}
const modelWeights = (program: ProgramDefinition): Record<string, Float32Array> =>
  drawn(program.weights, 0.2) as Record<string, Float32Array>;
const inputsOf = (program: ProgramDefinition): Record<string, TensorData> =>
  Object.fromEntries(Object.entries(drawn(program.inputs, 1)).map(([name, data]) => [name, tables[name] ?? data]));

/** Outputs with gradients in model layout, so that engines of different stored orders can be compared. */
async function results(compiled: Compiled, program: ProgramDefinition): Promise<Record<string, TensorData>> {
  const weights = modelWeights(program);
  const outputs = await compiled.run({
    weights: Object.fromEntries(
      compiled.weights.map((weight) => [weight.name, toStored(weight, weights[weight.name]!)]),
    ),
    inputs: inputsOf(program),
  });
  for (const weight of compiled.weights) {
    const name = `grad/${weight.name}`;
    if (name in outputs) outputs[name] = fromStored(weight, outputs[name] as Float32Array);
  }
  return outputs;
}

/** |a - b| / |b| of a tensor; of a tensor that is nearly zero, against 1e-3. */
function relativeError(a: TensorData, b: TensorData): number {
  expect(a.length).toBe(b.length);
  let [difference, whole] = [0, 0];
  for (let i = 0; i < b.length; i++) {
    difference += (a[i]! - b[i]!) ** 2;
    whole += b[i]! ** 2;
  }
  return Math.sqrt(difference) / Math.max(Math.sqrt(whole), 1e-3);
}

const tolerances: Readonly<Partial<Record<EngineKind, number>>> = { 'onnx-webgpu': 1e-3, 'onnx-cuda': 1e-3 };

const examined = await doctor();
const available = examined.filter((engine) => engine.available).map((engine) => engine.kind);
const oracle = await openEngine({ kind: 'tfjs-wasm' });
const expected = new Map<ProgramDefinition, Record<string, TensorData>>();
for (const program of programs) expected.set(program, await results(await oracle.load(program), program));
await oracle.close();

it('has the engines that need nothing, and those that were asked for', () => {
  const needed: EngineKind[] = ['onnx-cpu', 'tfjs-wasm'];
  if (process.env['THAW_TEST_TFJS_NODE'] === '1') needed.push('tfjs-node');
  expect(needed.filter((kind) => !available.includes(kind))).toEqual([]);
});

for (const { kind, reason } of examined.filter((engine) => !engine.available))
  describe.skip(`${kind} (${reason})`, () => it('is not here', () => undefined));

describe.each(available)('%s', (kind) => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await openEngine({ kind });
  });
  afterAll(() => engine.close());

  it.each(programs.map((program) => [program.name, program] as const))(
    'computes %s as the oracle does, with equal bits when asked again',
    async (_, program) => {
      const compiled = await engine.load(program);
      const outputs = await results(compiled, program);
      expect(Object.keys(outputs).sort()).toEqual(Object.keys(expected.get(program)!).sort());
      for (const [name, data] of Object.entries(expected.get(program)!)) {
        const error = relativeError(outputs[name]!, data);
        expect(error, name).toBeLessThan(tolerances[kind] ?? 1e-4);
      }
      expect(await results(compiled, program)).toEqual(outputs);
      await compiled.dispose();
    },
  );

  it('has a fingerprint of its own', async () => {
    const [program] = programs;
    const compiled = await engine.load(program!);
    const probeInput = (name: string): TensorData | undefined => inputsOf(program!)[name];
    const { fields } = await probeFingerprint(engine, [{ compiled, probeInput }]);
    expect(fields).toMatchObject({ engine: kind });
    await compiled.dispose();
  });
});
