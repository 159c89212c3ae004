/** Traced, lowered and run by ONNX Runtime, a program gives what tfjs gives op by op. */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fromStored, openEngine, toStored } from '@thaw/shared/engine';
import type { Compiled, Engine, NamedTensorSpec, ProgramDefinition, TensorData } from '@thaw/shared/engine';
import { RandomStream } from '@thaw/shared/runtime';
import { choices, examples, opNames, randomProgram } from './engine-programs.fixture.js';

let onnx: Engine;
let oracle: Engine;
beforeAll(async () => {
  onnx = await openEngine({ kind: 'onnx-cpu', workers: 2 });
  oracle = await openEngine({ kind: 'tfjs-wasm' });
});
afterAll(async () => {
  await onnx.close();
  await oracle.close();
});

const sizeOf = (shape: readonly number[]): number => shape.reduce((product, length) => product * length, 1);

function draw(name: string, size: number, scale: number, lane: number): Float32Array {
  const stream = new RandomStream(name.length, 'evaluation', 1, lane);
  return Float32Array.from({ length: size }, () => (2 * stream.uniform() - 1) * scale);
}

/** Weights by name in model layout, inputs by name. */
function arguments_(definition: ProgramDefinition) {
  const weights = Object.entries(definition.weights).map(
    ([name, { shape }], lane) => [name, draw(name, sizeOf(shape), 0.4, lane)] as const,
  );
  const inputs = Object.entries(definition.inputs).map(
    ([name, { shape, dtype }], lane) =>
      [name, dtype === 'int32' ? Int32Array.of(3, 0, 2) : draw(name, sizeOf(shape), 1, 100 + lane)] as const,
  );
  return { weights: Object.fromEntries(weights), inputs: Object.fromEntries(inputs) as Record<string, TensorData> };
}

async function outputsOf(compiled: Compiled, definition: ProgramDefinition): Promise<Record<string, TensorData>> {
  const { weights, inputs } = arguments_(definition);
  const stored = Object.fromEntries(
    compiled.weights.map((weight) => [weight.name, toStored(weight, weights[weight.name]!)]),
  );
  const outputs = await compiled.run({ weights: stored, inputs });
  for (const weight of compiled.weights)
    outputs[`grad/${weight.name}`] = fromStored(weight, outputs[`grad/${weight.name}`] as Float32Array);
  return outputs;
}

function largestDifference(got: TensorData, want: TensorData): number {
  expect(got.length).toBe(want.length);
  let [difference, largest] = [0, 0];
  want.forEach((value, i) => {
    difference = Math.max(difference, Math.abs(got[i]! - value));
    largest = Math.max(largest, Math.abs(value));
    if (!Number.isFinite(got[i]!)) difference = Infinity;
  });
  return difference / Math.max(largest, 1e-3);
}

describe('random programs', () => {
  const used = new Set<string>();

  it('give the same values and gradients traced as op by op', async () => {
    await fc.assert(
      fc.asyncProperty(choices, async (list) => {
        const { definition, taken } = randomProgram(list);
        const [traced, eager] = [await onnx.load(definition), await oracle.load(definition)];
        try {
          const [got, want] = [await outputsOf(traced, definition), await outputsOf(eager, definition)];
          taken.forEach((name) => used.add(name));
          expect(Object.keys(got).sort()).toEqual(Object.keys(want).sort());
          for (const name of Object.keys(want))
            expect(largestDifference(got[name]!, want[name]!), `${name} of ${taken.join(' ')}`).toBeLessThan(5e-4);
          expect(sizes(traced.outputs)).toEqual(sizes(eager.outputs));
        } finally {
          await traced.dispose();
          await eager.dispose();
        }
      }),
      {
        examples: examples.map((list): [typeof list] => [list]),
        numRuns: Number(process.env['THAW_TEST_RUNS'] ?? 150),
        seed: Number(process.env['THAW_TEST_SEED'] ?? 20220819),
      },
    );
  });

  it('reach every op of the generator', () => {
    expect(opNames.filter((name) => !used.has(name))).toEqual([]);
  });
});

const sizes = (specs: readonly NamedTensorSpec[]): unknown =>
  Object.fromEntries(specs.map(({ name, shape }): [string, number] => [name, sizeOf(shape)]).sort());
