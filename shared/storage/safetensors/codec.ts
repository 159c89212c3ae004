/**
 * Safetensors files (https://github.com/huggingface/safetensors, "Format"): 8 bytes little-endian length, a JSON header,
 * then the tensors' bytes without holes. The reader trusts nothing: every number is checked before it is used.
 */
import { ThawError } from '../../protocol/index.js';
import { dtypes } from './tensor.js';
import type { Dtype, Tensor, TensorArray } from './tensor.js';

/** The limit of the reference implementation. */
export const maxHeaderBytes = 100_000_000;
const maxDimensions = 16;

/** A tensor's place in a file: `begin` and `end` count from the first byte of the data section. */
export interface TensorPlace {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

export interface SafetensorsHeader {
  /** In order of `begin`. */
  readonly places: readonly TensorPlace[];
  readonly metadata: Readonly<Record<string, string>>;
  /** Where the data section begins in the file. */
  readonly dataOffset: number;
}

export interface DecodedSafetensors {
  /** By name; an object without prototype, so that any name is safe. */
  readonly tensors: Readonly<Record<string, Tensor>>;
  readonly metadata: Readonly<Record<string, string>>;
}

/**
 * Encodes tensors. The same content gives the same bytes whatever the order of the properties: larger values first, then
 * by name, as the reference implementation; header padded to 8 bytes, so that every tensor is aligned in the file.
 * @throws ThawError THAW_SAFETENSORS_INVALID if a tensor's array is not of its dtype or has not as many values as its shape says.
 */
export function encodeSafetensors(
  tensors: Readonly<Record<string, Tensor>>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  const later = Object.entries(tensors).map(([name, tensor]) => {
    checkTensor(name, tensor);
    return [name, { dtype: tensor.dtype, shape: tensor.shape, data: () => tensor.data }] as const;
  });
  const pieces = encodeSafetensorsStepwise(Object.fromEntries(later), metadata);
  for (;;) {
    const { done, value } = pieces.next();
    if (done) return value;
  }
}

/** A tensor whose values are made when its turn comes. */
export interface LazyTensor {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly data: () => TensorArray;
}

/**
 * As {@link encodeSafetensors}, one tensor at a time, so that a large file need not hold up its process: yields every piece as it is written
 * (views on the result: the header, then each tensor), and returns the whole.
 */
export function* encodeSafetensorsStepwise(
  tensors: Readonly<Record<string, LazyTensor>>,
  metadata: Readonly<Record<string, string>> = {},
): Generator<Uint8Array, Uint8Array> {
  const names = Object.keys(tensors).sort(
    (a, b) => dtypes[tensors[b]!.dtype].bytes - dtypes[tensors[a]!.dtype].bytes || (a < b ? -1 : 1),
  );
  const header: [string, unknown][] = [];
  if (Object.keys(metadata).length > 0) header.push(['__metadata__', sortedRecord(metadata)]);
  let end = 0;
  for (const name of names) {
    const { dtype, shape } = tensors[name]!;
    const begin = end;
    end += (product(shape) ?? 0) * dtypes[dtype].bytes;
    header.push([name, { dtype, shape, data_offsets: [begin, end] }]);
  }
  const text = new TextEncoder().encode(JSON.stringify(Object.fromEntries(header)));
  const headerBytes = Math.ceil(text.byteLength / 8) * 8;
  const bytes = new Uint8Array(8 + headerBytes + end);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(headerBytes), true);
  bytes.fill(0x20, 8, 8 + headerBytes);
  bytes.set(text, 8);
  let offset = 8 + headerBytes;
  yield bytes.subarray(0, offset);
  for (const name of names) {
    const { dtype, shape, data: make } = tensors[name]!;
    const data = make();
    checkTensor(name, { dtype, shape, data });
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), offset);
    yield bytes.subarray(offset, (offset += data.byteLength));
  }
  return bytes;
}

function checkTensor(name: string, tensor: Tensor): void {
  const kind = dtypes[tensor.dtype];
  if (kind === undefined) throw invalid(`the tensor ${name} has the unknown dtype ${String(tensor.dtype)}`);
  if (name === '__metadata__') throw invalid('a tensor may not be called __metadata__');
  if (!(tensor.data instanceof kind.array))
    throw invalid(`the tensor ${name} is ${tensor.dtype} but its values are not a ${kind.array.name}`);
  const count = product(tensor.shape);
  if (count === undefined || count !== tensor.data.length)
    throw invalid(`the tensor ${name} has ${tensor.data.length} values but the shape [${tensor.shape.join(', ')}]`);
}

/**
 * How many bytes the length field and header have, from the first 8 bytes of a file: for reading a header by ranges.
 * @param fileBytes size of the whole file
 * @throws ThawError THAW_SAFETENSORS_INVALID
 */
export function safetensorsHeaderEnd(first8: Uint8Array, fileBytes: number): number {
  if (first8.byteLength < 8) throw invalid(`a file of ${first8.byteLength} bytes is too short`);
  const length = new DataView(first8.buffer, first8.byteOffset, 8).getBigUint64(0, true);
  if (length > BigInt(maxHeaderBytes))
    throw invalid(`the header claims ${length} bytes; at most ${maxHeaderBytes} are read`);
  const end = 8 + Number(length);
  if (end > fileBytes) throw invalid(`the header claims ${length} bytes but the file has ${fileBytes}`);
  return end;
}

/**
 * Reads and checks the header of a file.
 * @param head the file, or at least its beginning up to the end of the header
 * @param fileBytes size of the whole file
 * @throws ThawError THAW_SAFETENSORS_INVALID
 */
export function decodeSafetensorsHeader(head: Uint8Array, fileBytes: number): SafetensorsHeader {
  const dataOffset = safetensorsHeaderEnd(head, fileBytes);
  if (head.byteLength < dataOffset)
    throw invalid(`the header ends at ${dataOffset} but only ${head.byteLength} bytes are there`);
  const raw = parseHeader(head.subarray(8, dataOffset));
  let metadata: Record<string, string> = {};
  const places: TensorPlace[] = [];
  for (const [name, value] of Object.entries(raw)) {
    if (name === '__metadata__') metadata = readMetadata(value);
    else places.push(readPlace(name, value));
  }
  places.sort((a, b) => a.begin - b.begin || a.end - b.end);
  let expected = 0;
  for (const place of places) {
    if (place.begin !== expected)
      throw invalid(
        `the tensor ${shown(place.name)} begins at ${place.begin}, where ${expected} was due (an overlap or a hole)`,
      );
    expected = place.end;
  }
  if (dataOffset + expected !== fileBytes)
    throw invalid(`the tensors end at ${dataOffset + expected} but the file has ${fileBytes} bytes`);
  return { places, metadata, dataOffset };
}

/**
 * Decodes a file. Tensors are views on `bytes` where alignment allows and copies where not: treat them as read-only while
 * `bytes` is in use.
 * @throws ThawError THAW_SAFETENSORS_INVALID for anything that is not exactly a safetensors file.
 */
export function decodeSafetensors(bytes: Uint8Array): DecodedSafetensors {
  const { places, metadata, dataOffset } = decodeSafetensorsHeader(bytes, bytes.byteLength);
  const tensors = Object.create(null) as Record<string, Tensor>;
  for (const { name, dtype, shape, begin, end } of places)
    tensors[name] = { dtype, shape, data: arrayAt(bytes, dtype, dataOffset + begin, dataOffset + end) };
  return { tensors, metadata };
}

function arrayAt(bytes: Uint8Array, dtype: Dtype, begin: number, end: number): TensorArray {
  const { bytes: width, array } = dtypes[dtype];
  const part = bytes.subarray(begin, end);
  const source = part.byteOffset % width === 0 ? part : new Uint8Array(part);
  return new array(source.buffer as ArrayBuffer, source.byteOffset, (end - begin) / width);
}

function parseHeader(bytes: Uint8Array): Record<string, unknown> {
  if (bytes[0] !== 0x7b) throw invalid('the header does not begin with {');
  let raw: unknown;
  try {
    raw = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw invalid('the header is not JSON', cause);
  }
  return raw as Record<string, unknown>;
}

function readMetadata(value: unknown): Record<string, string> {
  const metadata = Object.create(null) as Record<string, string>;
  if (!isRecord(value)) throw invalid('__metadata__ is not an object');
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== 'string') throw invalid(`the metadata ${shown(key)} is not a text`);
    metadata[key] = text;
  }
  return metadata;
}

function readPlace(name: string, value: unknown): TensorPlace {
  const fail = (problem: string): ThawError => invalid(`the tensor ${shown(name)} ${problem}`);
  if (!isRecord(value)) throw fail('is not described by an object');
  const { dtype, shape, data_offsets: offsets, ...rest } = value;
  if (Object.keys(rest).length > 0) throw fail(`has the unknown property ${shown(Object.keys(rest)[0]!)}`);
  if (typeof dtype !== 'string' || !Object.hasOwn(dtypes, dtype))
    throw fail(`has the unknown dtype ${shown(String(dtype))}`);
  if (!Array.isArray(shape) || shape.length > maxDimensions) throw fail('has no shape, or one of too many dimensions');
  const count = product(shape);
  if (count === undefined) throw fail('has a shape that is not whole numbers, or too large');
  if (!Array.isArray(offsets) || offsets.length !== 2) throw fail('has no data_offsets');
  const [begin, end] = offsets as unknown[];
  if (!isCount(begin) || !isCount(end) || end < begin) throw fail('has data_offsets that are not an ascending pair');
  const width = dtypes[dtype as Dtype].bytes;
  if (count * width !== end - begin)
    throw fail(`has ${end - begin} bytes but ${dtype} of shape [${shape.join(', ')}] needs ${count * width}`);
  return { name, dtype: dtype as Dtype, shape: shape as number[], begin, end };
}

/** Number of values of a shape (1 for a scalar), or undefined if it is no shape or its bytes cannot be counted exactly. */
function product(shape: readonly unknown[]): number | undefined {
  let count = 1;
  for (const size of shape) {
    if (!isCount(size)) return undefined;
    count *= size;
    if (count > Number.MAX_SAFE_INTEGER / 8) return undefined;
  }
  return count;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function sortedRecord(record: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function shown(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}...` : text);
}

function invalid(problem: string, cause?: unknown): ThawError {
  return new ThawError('THAW_SAFETENSORS_INVALID', `This is not valid safetensors: ${problem}.`, { cause });
}
