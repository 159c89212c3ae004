import * as tf from '@tensorflow/tfjs-core';
import { ThawError } from '@thaw/shared/protocol';
import type { ProgramDefinition } from '../types.js';

/**
 * The same program with its weights as constants of the graph: faster to run, since ONNX Runtime transforms and packs
 * constant filters once, but it has to be loaded anew for other weights. Only for programs without gradients.
 *
 * @param weights in model layout; they are read while the program is loaded, and must not change until then.
 * @throws THAW_ENGINE_PROGRAM_INVALID for a missing weight, one of another size, one that is not finite, or a gradient.
 */
export function withConstantWeights(
  definition: ProgramDefinition,
  weights: Readonly<Record<string, Float32Array>>,
): ProgramDefinition {
  checkFixedWeights([definition], weights);
  const { gradientOf: _, ...forward } = definition;
  const constants = (): Record<string, tf.Tensor> =>
    Object.fromEntries(
      Object.entries(definition.weights).map(([name, { shape }]) => [name, tf.tensor(weights[name]!, [...shape])]),
    );
  return { ...forward, weights: {}, fn: (_none, inputs) => definition.fn(constants(), inputs) };
}

/**
 * Programs of one network share their weights, so the values of each are looked at once.
 * @throws THAW_ENGINE_PROGRAM_INVALID for a missing weight, one of another size, one that is not finite, or a gradient.
 */
export function checkFixedWeights(
  definitions: readonly ProgramDefinition[],
  weights: Readonly<Record<string, Float32Array>>,
): void {
  const finite = new Set<string>();
  for (const { name: program, weights: specs, gradientOf } of definitions) {
    const refuse = (problem: string): never => {
      throw new ThawError('THAW_ENGINE_PROGRAM_INVALID', `program '${program}' with constant weights: ${problem}`);
    };
    if (gradientOf !== undefined) refuse('gradients are taken of weights that can change');
    for (const [name, { shape }] of Object.entries(specs)) {
      const data = weights[name];
      const size = shape.reduce((product, length) => product * length, 1);
      if (data?.length !== size) refuse(`weight '${name}' needs ${size} values, got ${data?.length ?? 'nothing'}`);
      if (finite.has(name)) continue;
      if (!data!.every(Number.isFinite)) refuse(`weight '${name}' has a value that is not finite`);
      finite.add(name);
    }
  }
}
