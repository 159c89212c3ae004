import { createHash } from 'node:crypto';
import { ThawError } from '@thaw/shared/protocol';
import { sizeOf } from '../graph/shape.js';
import type { ThreadProgram } from '../run/index.js';
import { traceCalls } from '../trace/index.js';
import type { KernelTape, TapedOutput } from '../trace/index.js';
import type { DType, NamedTensorSpec, ProgramDefinition, Recompute, StoredWeight } from '../types.js';

/** A program as eager engines run it: the calls of kernels that its function and its gradients make. */
export interface TapeProgram extends ThreadProgram {
  readonly tape: KernelTape;
}

/**
 * Weights stay in the model layout.
 * @throws as tracing does; THAW_CONFIG_INVALID when something is to be computed again, which op by op is not possible
 */
export function tapeProgram(definition: ProgramDefinition, recompute: Recompute): TapeProgram {
  if (recompute !== 'none')
    throw new ThawError(
      'THAW_CONFIG_INVALID',
      'an eager engine computes op by op and keeps what tfjs keeps: it can recompute nothing',
      { cure: 'Leave recompute out, or take an onnx engine.' },
    );
  const tape = traceCalls(definition);
  const rest = {
    name: definition.name,
    weights: storedWeights(definition),
    inputs: Object.entries(definition.inputs).map(([name, { shape, dtype }]) => ({ name, shape, dtype })),
    outputs: tape.outputs.map(outputSpec),
  };
  const digest = createHash('sha256')
    .update(JSON.stringify({ ...rest, tape }, plainArrays))
    .digest('hex');
  return { ...rest, tape, digest, resultDigest: digest };
}

const storedWeights = ({ weights }: ProgramDefinition): StoredWeight[] =>
  Object.entries(weights).map(([name, spec]) => ({
    name,
    shape: spec.shape,
    permutation: spec.shape.map((_, axis) => axis),
    size: sizeOf(spec.shape),
  }));

/** Gradients are flat, as on every engine. */
function outputSpec({ name, shape, dtype }: TapedOutput): NamedTensorSpec {
  const spec = { name, shape, dtype: dtype as DType };
  return name.startsWith('grad/') ? { ...spec, shape: [sizeOf(spec.shape)] } : spec;
}

const plainArrays = (_: string, value: unknown): unknown =>
  ArrayBuffer.isView(value) ? Array.from(value as Float32Array) : value;
