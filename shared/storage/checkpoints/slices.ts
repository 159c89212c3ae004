/**
 * Slices: the state cut into parts that different members write. A slice is a safetensors file of whole tensors; its
 * metadata carries the scalars, so that slices of different steps can be told apart and none is missing unnoticed.
 */
import { createHash } from 'node:crypto';
import { ThawError } from '../../protocol/index.js';
import { sha256Hex } from '../blobs/index.js';
import {
  decodeSafetensors,
  dtypes,
  encodeSafetensors,
  encodeSafetensorsStepwise,
  type LazyTensor,
} from '../safetensors/index.js';
import type { RunState, StateScalars, StateTensor } from './run-state.js';
import { stateGroups } from './run-state.js';
import type { SliceRecord } from './manifest.js';

export const sliceFormat = 'thaw.slice/1';

/** One part of a state. Tensors are those of the state, not copies. */
export interface StateSlice {
  readonly index: number;
  readonly count: number;
  readonly scalars: StateScalars;
  readonly tensors: Readonly<Record<string, StateTensor>>;
}

export interface EncodedSlice {
  readonly record: SliceRecord;
  readonly bytes: Uint8Array;
}

/**
 * Which tensors go into which of `count` slices: whole tensors, largest first, each to the slice that is smallest so far.
 * A function of names and sizes only, so that all members agree without a word. Slices may be empty.
 */
export function planSlices(
  tensors: Readonly<Record<string, { readonly data: { readonly byteLength: number } }>>,
  count: number,
): string[][] {
  if (!Number.isSafeInteger(count) || count < 1 || count > 4096)
    throw new ThawError('THAW_CHECKPOINT_INVALID', `A state is cut into 1 to 4096 slices, not ${count}.`);
  const slices = Array.from({ length: count }, () => ({ bytes: 0, names: [] as string[] }));
  const sizeOf = (name: string): number => tensors[name]!.data.byteLength;
  const names = Object.keys(tensors).sort((a, b) => sizeOf(b) - sizeOf(a) || (a < b ? -1 : 1));
  for (const name of names) {
    const smallest = slices.reduce((least, slice) => (slice.bytes < least.bytes ? slice : least));
    smallest.bytes += sizeOf(name);
    smallest.names.push(name);
  }
  return slices.map((slice) => slice.names.sort());
}

/** Cuts a state into `count` slices, see {@link planSlices}. */
export function splitIntoSlices(state: RunState, count: number): StateSlice[] {
  const { tensors, ...scalars } = state;
  return planSlices(tensors, count).map((names, index) => ({
    index,
    count,
    scalars,
    tensors: Object.fromEntries(names.map((name) => [name, tensors[name]!])),
  }));
}

/** The bytes of a slice and what they are called. Equal states give equal bytes, whoever encodes them. */
export function encodeSlice(slice: StateSlice): EncodedSlice {
  const bytes = encodeSafetensors(slice.tensors, metadataOf(slice));
  return { bytes, record: { index: slice.index, sha256: sha256Hex(bytes), bytes: bytes.byteLength } };
}

/** One part of a state whose tensors are made one after the other. */
export interface LazySlice extends Omit<StateSlice, 'tensors'> {
  readonly tensors: Readonly<Record<string, LazyTensor>>;
}

/** Cuts a state whose tensors are not made yet, as {@link splitIntoSlices} would. */
export function outlineSlices(
  scalars: StateScalars,
  tensors: Readonly<Record<string, LazyTensor>>,
  count: number,
): LazySlice[] {
  const sizes = Object.entries(tensors).map(([name, { dtype, shape }]) => {
    const byteLength = shape.reduce((size, extent) => size * extent, dtypes[dtype].bytes);
    return [name, { data: { byteLength } }] as const;
  });
  return planSlices(Object.fromEntries(sizes), count).map((names, index) => ({
    index,
    count,
    scalars,
    tensors: Object.fromEntries(names.map((name) => [name, tensors[name]!])),
  }));
}

/** As {@link encodeSlice}, a tensor a step, so that a large slice need not hold up its process. */
export function* encodeSliceStepwise(slice: LazySlice): Generator<void, EncodedSlice> {
  const hash = createHash('sha256');
  const pieces = encodeSafetensorsStepwise(slice.tensors, metadataOf(slice));
  for (;;) {
    const { done, value } = pieces.next();
    if (done) {
      const record = { index: slice.index, sha256: hash.digest('hex'), bytes: value.byteLength };
      return { bytes: value, record };
    }
    hash.update(value);
    yield;
  }
}

function metadataOf({ index, count, scalars }: Omit<StateSlice, 'tensors'>): Record<string, string> {
  return {
    format: sliceFormat,
    slice: `${index}/${count}`,
    step: String(scalars.step),
    epoch: String(scalars.epoch),
    stepOfEpoch: String(scalars.stepOfEpoch),
    beta1Product: String(scalars.beta1Product),
    beta2Product: String(scalars.beta2Product),
    historyDigest: scalars.historyDigest,
    skippedInARow: String(scalars.skippedInARow),
  };
}

/**
 * Reads the scalars and the position of a slice from its metadata.
 * @throws ThawError THAW_CHECKPOINT_INVALID
 */
export function readSliceMetadata(metadata: Readonly<Record<string, string>>): Omit<StateSlice, 'tensors'> {
  const position = /^(\d{1,4})\/(\d{1,4})$/.exec(metadata['slice'] ?? '');
  if (metadata['format'] !== sliceFormat || position === null)
    throw new ThawError('THAW_CHECKPOINT_INVALID', `A blob of a checkpoint is not a ${sliceFormat} file.`);
  const numberOf = (key: string): number => {
    const value = Number(metadata[key] ?? 'missing');
    if (!Number.isFinite(value)) throw new ThawError('THAW_CHECKPOINT_INVALID', `A slice has no number ${key}.`);
    return value;
  };
  const scalars = {
    step: numberOf('step'),
    epoch: numberOf('epoch'),
    stepOfEpoch: numberOf('stepOfEpoch'),
    beta1Product: numberOf('beta1Product'),
    beta2Product: numberOf('beta2Product'),
    historyDigest: metadata['historyDigest'] ?? '',
    skippedInARow: numberOf('skippedInARow'),
  };
  return { index: Number(position[1]), count: Number(position[2]), scalars };
}

/**
 * Decodes one slice. Its tensors are views on `bytes` where alignment allows.
 * @throws ThawError THAW_SAFETENSORS_INVALID, THAW_CHECKPOINT_INVALID
 */
export function decodeSlice(bytes: Uint8Array): StateSlice {
  const { tensors, metadata } = decodeSafetensors(bytes);
  for (const [name, tensor] of Object.entries(tensors)) checkStateTensor(name, tensor.dtype);
  return { ...readSliceMetadata(metadata), tensors: tensors as Record<string, StateTensor> };
}

export function checkStateTensor(name: string, dtype: string): void {
  if (!stateGroups.some((group) => name.startsWith(`${group}/`)))
    throw new ThawError(
      'THAW_CHECKPOINT_INVALID',
      `A slice holds ${JSON.stringify(name.slice(0, 100))}, which is no part of a state.`,
    );
  if (dtype !== 'F32' && (!name.startsWith('exponents/') || (dtype !== 'I8' && dtype !== 'I32')))
    throw new ThawError('THAW_CHECKPOINT_INVALID', `The tensor ${name} may not be ${dtype}.`);
}

/**
 * Puts slices of one state together again.
 * @throws ThawError THAW_CHECKPOINT_INVALID if one is missing or twice there, or they are not all of one step and history.
 */
export function assembleState(slices: readonly StateSlice[]): RunState {
  const first = slices[0];
  if (first === undefined) throw new ThawError('THAW_CHECKPOINT_INVALID', 'A state cannot be made of no slices.');
  const present = [...slices].sort((a, b) => a.index - b.index);
  if (present.length !== first.count || present.some((slice, position) => slice.index !== position))
    throw new ThawError(
      'THAW_CHECKPOINT_INVALID',
      `The slices ${present.map((slice) => slice.index).join(', ')} are not the ${first.count} that make a state.`,
    );
  const tensors: Record<string, StateTensor> = {};
  for (const slice of present) {
    checkSameState(first, slice);
    for (const [name, tensor] of Object.entries(slice.tensors)) {
      if (Object.hasOwn(tensors, name))
        throw new ThawError('THAW_CHECKPOINT_INVALID', `Two slices hold the tensor ${name}.`);
      tensors[name] = tensor;
    }
  }
  return { ...first.scalars, tensors };
}

/** @throws ThawError THAW_CHECKPOINT_INVALID if two slices are not of one state. */
export function checkSameState(a: Omit<StateSlice, 'tensors'>, b: Omit<StateSlice, 'tensors'>): void {
  const of = (slice: Omit<StateSlice, 'tensors'>): string => {
    const { step, epoch, stepOfEpoch, beta1Product, beta2Product, historyDigest, skippedInARow } = slice.scalars;
    return JSON.stringify([
      slice.count,
      step,
      epoch,
      stepOfEpoch,
      beta1Product,
      beta2Product,
      historyDigest,
      skippedInARow,
    ]);
  };
  if (of(a) !== of(b))
    throw new ThawError(
      'THAW_CHECKPOINT_INVALID',
      `Slices ${a.index} and ${b.index} are not of one state: ${of(a)} and ${of(b)}.`,
    );
}

/** Whether a second member, which encoded the same slice from its own copy, finds the digest that the writer reported. */
export function confirmSlice(own: EncodedSlice, reported: SliceRecord): boolean {
  const { record } = own;
  return record.index === reported.index && record.sha256 === reported.sha256 && record.bytes === reported.bytes;
}
