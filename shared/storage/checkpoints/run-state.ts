/** What training evolves, as it is stored: official names, order and shapes (PyTorch: convolutions are OIHW). */
import { createHash } from 'node:crypto';
import { ThawError } from '../../protocol/index.js';

/** Groups of tensors of a state; a tensor is called `<group>/<official parameter name>`. */
export const stateGroups = ['weights', 'ema', 'adam.m', 'adam.v', 'exponents'] as const;
export type StateGroup = (typeof stateGroups)[number];

/**
 * One tensor of the state. F32 for weights, EMA and Adam moments; I8 or I32 for block exponents (one per block of 256
 * consecutive values of the order in which the trainer keeps the parameter).
 */
export type StateTensor =
  | { readonly dtype: 'F32'; readonly shape: readonly number[]; readonly data: Float32Array }
  | { readonly dtype: 'I8'; readonly shape: readonly number[]; readonly data: Int8Array }
  | { readonly dtype: 'I32'; readonly shape: readonly number[]; readonly data: Int32Array };

/** The part of the state that is not tensors. Every slice carries a copy. */
export interface StateScalars {
  /** Optimizer steps that have been applied: the state is the one before step number `step`. */
  readonly step: number;
  readonly epoch: number;
  /** Steps of `epoch` that have been applied. */
  readonly stepOfEpoch: number;
  /** Running products of Adam's beta1 and beta2 (1 at step 0), for the bias correction. */
  readonly beta1Product: number;
  readonly beta2Product: number;
  /** Hex digest over the totals of all steps so far (`h_k` of the protocol). */
  readonly historyDigest: string;
  /** Steps in a row, up to this one, that had no update because a gradient was not finite. */
  readonly skippedInARow: number;
}

/** The whole state of a run at one step boundary. The arrays belong to whoever made it; nothing here writes to them. */
export interface RunState extends StateScalars {
  readonly tensors: Readonly<Record<string, StateTensor>>;
}

/** The tensors of one group by official parameter name, without the group's prefix. */
export function tensorsOf(
  tensors: Readonly<Record<string, StateTensor>>,
  group: StateGroup,
): Record<string, StateTensor> {
  const prefix = `${group}/`;
  const found: Record<string, StateTensor> = {};
  for (const [name, tensor] of Object.entries(tensors))
    if (name.startsWith(prefix)) found[name.slice(prefix.length)] = tensor;
  return found;
}

/** The float arrays of one group by official parameter name. */
export function floatsOf(
  tensors: Readonly<Record<string, StateTensor>>,
  group: StateGroup,
): Record<string, Float32Array> {
  const found: Record<string, Float32Array> = {};
  for (const [name, tensor] of Object.entries(tensorsOf(tensors, group))) {
    if (tensor.dtype !== 'F32')
      throw new ThawError('THAW_CHECKPOINT_INVALID', `The tensor ${group}/${name} is ${tensor.dtype}, not F32.`);
    found[name] = tensor.data;
  }
  return found;
}

/**
 * SHA-256 (hex) of the raw little-endian fp32 values of all weights in official shape, one after the other in ascending
 * order of name (code units, as Python's `sorted`). Names and shapes are not hashed.
 */
export function weightsSha256(
  weights: Readonly<Record<string, Float32Array | { readonly data: Float32Array }>>,
): string {
  const hash = createHash('sha256');
  for (const name of Object.keys(weights).sort()) {
    const entry = weights[name]!;
    const data = entry instanceof Float32Array ? entry : entry.data;
    hash.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  return hash.digest('hex');
}
