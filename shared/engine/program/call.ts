import { ThawError } from '@thaw/shared/protocol';
import { sizeOf } from '../graph/shape.js';
import type { DType, EngineCall, NamedTensorSpec, StoredWeight } from '../types.js';

export interface CallSpec {
  readonly name: string;
  readonly weights: readonly StoredWeight[];
  readonly inputs: readonly NamedTensorSpec[];
  readonly outputs: readonly NamedTensorSpec[];
}

/** Refuses a call whose tensors do not fit, with THAW_ENGINE_CALL_INVALID naming the first that does not. */
export function checkCall(program: CallSpec, call: EngineCall): void {
  for (const weight of program.weights)
    check(program.name, 'weight', weight.name, 'float32', weight.size, call.weights[weight.name]);
  for (const input of program.inputs) {
    check(program.name, 'input', input.name, input.dtype, sizeOf(input.shape), call.inputs[input.name]);
  }
  for (const [name, array] of Object.entries(call.into ?? {})) {
    const output = program.outputs.find((candidate) => candidate.name === name);
    if (output === undefined) throw refuse(program.name, `'${name}' is not one of its outputs`);
    check(program.name, 'array for output', name, output.dtype, sizeOf(output.shape), array);
    if (array.buffer instanceof SharedArrayBuffer)
      throw refuse(program.name, `the array for output '${name}' is on shared memory and cannot be handed over`);
  }
  const known = new Set([...program.weights, ...program.inputs].map((tensor) => tensor.name));
  for (const name of [...Object.keys(call.weights), ...Object.keys(call.inputs)])
    if (!known.has(name)) throw refuse(program.name, `'${name}' is not one of its weights and inputs`);
}

function check(program: string, kind: string, name: string, dtype: DType, size: number, data: unknown): void {
  const right = dtype === 'float32' ? data instanceof Float32Array : data instanceof Int32Array;
  if (!right)
    throw refuse(
      program,
      `${kind} '${name}' must be a ${dtype === 'float32' ? 'Float32Array' : 'Int32Array'}, got ${describe(data)}`,
    );
  const { length } = data as Float32Array;
  if (length !== size) throw refuse(program, `${kind} '${name}' needs ${size} values, got ${length}`);
}
const refuse = (program: string, problem: string): ThawError =>
  new ThawError('THAW_ENGINE_CALL_INVALID', `program '${program}': ${problem}`);
const describe = (data: unknown): string =>
  data === undefined ? 'nothing' : typeof data === 'object' && data !== null ? data.constructor.name : typeof data;
