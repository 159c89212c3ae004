import { ThawError } from '@thaw/shared/protocol';
import type { ProgramDefinition, TensorSpec } from '../types.js';

const invalid = (program: string, problem: string): ThawError =>
  new ThawError('THAW_ENGINE_PROGRAM_INVALID', `program '${program}': ${problem}`);

/** Refuses names and shapes that no engine could take, with THAW_ENGINE_PROGRAM_INVALID. */
export function checkDefinition(definition: ProgramDefinition): void {
  const { name, weights, inputs } = definition;
  if (name === '') throw new ThawError('THAW_ENGINE_PROGRAM_INVALID', 'a program needs a name');
  for (const [weight, spec] of Object.entries(weights)) {
    if (weight in inputs) throw invalid(name, `'${weight}' is both a weight and an input`);
    if (spec.dtype !== 'float32') throw invalid(name, `weight '${weight}' must be float32, not ${spec.dtype}`);
    checkSpec(name, weight, spec);
  }
  for (const [input, spec] of Object.entries(inputs)) checkSpec(name, input, spec);
}

function checkSpec(program: string, name: string, spec: TensorSpec): void {
  if (spec.dtype !== 'float32' && spec.dtype !== 'int32')
    throw invalid(program, `'${name}' has the type ${String(spec.dtype)}`);
  if (spec.shape.length > 6)
    throw invalid(program, `'${name}' has ${spec.shape.length} dimensions; tfjs knows at most 6`);
  for (const length of spec.shape)
    if (!Number.isSafeInteger(length) || length < 1)
      throw invalid(program, `'${name}' has the shape [${spec.shape.join(', ')}]; lengths must be positive integers`);
}
