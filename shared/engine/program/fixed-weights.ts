import { ThawError } from '@thaw/shared/protocol';
import { sizeOf } from '../graph/shape.js';
import type { ProgramDefinition } from '../types.js';

/**
 * Looks at weights that will be constants. Programs of one network share them, so the values of each are looked at once.
 * @throws THAW_ENGINE_PROGRAM_INVALID for a missing weight, one of another size, one that is not finite, or a gradient.
 */
export function checkFixedWeights(
  definitions: readonly ProgramDefinition[],
  weights: Readonly<Record<string, Float32Array>>,
): void {
  const finite = new Set<string>();
  for (const { name: program, weights: specs, gradientOf } of definitions) {
    const refuse = (problem: string): never => {
      throw new ThawError('THAW_ENGINE_PROGRAM_INVALID', `program '${program}' with fixed weights: ${problem}`);
    };
    if (gradientOf !== undefined) refuse('gradients are taken of weights that can change');
    for (const [name, { shape }] of Object.entries(specs)) {
      const data = weights[name];
      const size = sizeOf(shape);
      if (data?.length !== size) refuse(`weight '${name}' needs ${size} values, got ${data?.length ?? 'nothing'}`);
      if (finite.has(name)) continue;
      if (!data!.every(Number.isFinite)) refuse(`weight '${name}' has a value that is not finite`);
      finite.add(name);
    }
  }
}
