/** Golden vectors: a folder with index.json and safetensors files (those beside this file unless another is named); reading and comparing. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface Tolerance {
  readonly abs?: number;
  readonly rel?: number;
  readonly rel_to_max?: number;
  readonly mismatch_fraction?: number;
  readonly mismatch_abs?: number;
}

interface Entry {
  readonly key?: string;
  readonly key_prefix?: string;
  readonly names?: readonly string[];
  readonly desc?: string;
  readonly tolerance?: Tolerance;
}

interface IndexCase {
  readonly id: string;
  readonly file: string;
  readonly params: Readonly<Record<string, unknown>>;
  readonly inputs: Readonly<Record<string, Entry>>;
  readonly outputs: Readonly<Record<string, Entry>>;
  readonly tolerance: Tolerance;
}

/** Why an entry of the index cannot be tried, or undefined. */
function malformation(entry: unknown): string | undefined {
  if (!isRecord(entry)) return 'it is no object';
  if (typeof entry.id !== 'string') return 'it has no id';
  if (typeof entry.file !== 'string') return 'it names no file';
  for (const field of ['inputs', 'outputs'] as const)
    if (!isRecord(entry[field]) || !Object.values(entry[field]).every(isRecord)) return `its ${field} are no entries`;
  const own = Object.values(entry.outputs as Record<string, Entry>).every(({ tolerance }) => isRecord(tolerance));
  if (!isRecord(entry.tolerance) && !own) return 'it says no tolerance';
  return undefined;
}
const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

export type GoldenData = Float32Array | Float64Array | Int32Array | Uint8Array;

export interface GoldenTensor {
  readonly shape: readonly number[];
  readonly data: GoldenData;
}

const numbersOf = {
  F64: (bytes: ArrayBuffer) => new Float64Array(bytes),
  F32: (bytes: ArrayBuffer) => new Float32Array(bytes),
  I64: (bytes: ArrayBuffer) => Float64Array.from(new BigInt64Array(bytes), Number),
  I32: (bytes: ArrayBuffer) => new Int32Array(bytes),
  U8: (bytes: ArrayBuffer) => new Uint8Array(bytes),
  BOOL: (bytes: ArrayBuffer) => new Uint8Array(bytes),
} as const;

/** The folder of this repository's vectors. */
export const ownFolder = fileURLToPath(new URL('.', import.meta.url));

function readSafetensors(file: string): Map<string, GoldenTensor> {
  const bytes = readFileSync(file);
  const headerLength = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + headerLength)) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  const tensors = new Map<string, GoldenTensor>();
  for (const [name, entry] of Object.entries(header)) {
    if (name === '__metadata__') continue;
    const [begin, end] = entry.data_offsets;
    const base = bytes.byteOffset + 8 + headerLength;
    const aligned = bytes.buffer.slice(base + begin, base + end) as ArrayBuffer;
    const read = numbersOf[entry.dtype as keyof typeof numbersOf];
    if (read === undefined)
      throw new Error(`the tensor ${name} is ${entry.dtype}; ${Object.keys(numbersOf).join(', ')} are read`);
    tensors.set(name, { shape: entry.shape, data: read(aligned) });
  }
  return tensors;
}

const files = new Map<string, Map<string, GoldenTensor>>();

function tensorsOf(file: string): Map<string, GoldenTensor> {
  let tensors = files.get(file);
  if (tensors === undefined) files.set(file, (tensors = readSafetensors(file)));
  return tensors;
}

/** What a runner may see: parameters and inputs. */
export class GoldenCase {
  readonly id: string;
  readonly params: Readonly<Record<string, unknown>>;
  readonly index: IndexCase;
  readonly #folder: string;

  /** Why the case cannot be tried; undefined for a whole one. */
  readonly malformed: string | undefined;

  /** @param position in the index: the name of a case without an id */
  constructor(entry: unknown, folder: string, position: number) {
    this.malformed = malformation(entry);
    this.index = entry as IndexCase;
    this.#folder = folder;
    this.id = isRecord(entry) && typeof entry.id === 'string' ? entry.id : `#${position}`;
    this.params = (isRecord(entry) && isRecord(entry.params) && entry.params) || {};
  }

  #tensor(key: string): GoldenTensor {
    const tensor = tensorsOf(join(this.#folder, this.index.file)).get(key);
    if (tensor === undefined) throw new Error(`${this.index.file} has no tensor ${key}`);
    return tensor;
  }

  has(input: string): boolean {
    return input in this.index.inputs;
  }

  input(name: string): GoldenTensor {
    const key = this.index.inputs[name]?.key;
    if (key === undefined) throw new Error(`case ${this.id} has no input ${name}`);
    return this.#tensor(key);
  }

  /** Input data as float32. */
  floats(name: string): Float32Array {
    return Float32Array.from(this.input(name).data);
  }

  integers(name: string): number[] {
    return Array.from(this.input(name).data);
  }

  /** A group such as `param:*`: tensors by their own names, in order. */
  group(name: string): Map<string, GoldenTensor> {
    const entry = this.index.inputs[name];
    return new Map((entry?.names ?? []).map((tensor) => [tensor, this.#tensor(`${entry!.key_prefix}${tensor}`)]));
  }

  /** Wanted outputs by name; a group contributes one per tensor, named by its prefix and the tensor's name. */
  wanted(): Map<string, { readonly tensor: GoldenTensor; readonly tolerance: Tolerance }> {
    const wanted = new Map<string, { tensor: GoldenTensor; tolerance: Tolerance }>();
    for (const [name, entry] of Object.entries(this.index.outputs)) {
      const tolerance = entry.tolerance ?? this.index.tolerance;
      if (entry.key !== undefined) wanted.set(name, { tensor: this.#tensor(entry.key), tolerance });
      else
        for (const tensor of entry.names ?? [])
          wanted.set(name.replace('*', tensor), { tensor: this.#tensor(`${entry.key_prefix}${tensor}`), tolerance });
    }
    return wanted;
  }
}

/** @throws UnreadableIndexError when the folder's index.json is not one. */
export function goldenCases(folder = ownFolder): GoldenCase[] {
  const file = join(folder, 'index.json');
  let index: unknown;
  try {
    index = JSON.parse(readFileSync(file, 'utf8'));
  } catch (cause) {
    throw new UnreadableIndexError(`${file} cannot be read: ${(cause as Error).message}`);
  }
  if (!isRecord(index) || !Array.isArray(index.cases)) throw new UnreadableIndexError(`${file} has no list "cases".`);
  return index.cases.map((entry, position) => new GoldenCase(entry, folder, position));
}

export class UnreadableIndexError extends Error {
  override readonly name = 'UnreadableIndexError';
}

/** How far two tensors are apart. */
export interface Comparison {
  /** A sentence when they do not agree. */
  readonly problem?: string;
  /** The deviation that comes closest to its limit (or exceeds it most), and that limit. */
  readonly error: number;
  readonly tolerance: number;
}

/** Compares within the tolerance of the vectors; values that may fall either way (`mismatch_fraction`) are left out while they are few. */
export function compare(got: ArrayLike<number>, want: GoldenTensor, tolerance: Tolerance): Comparison {
  const { data } = want;
  if (got.length !== data.length)
    return { problem: `${got.length} values instead of ${data.length}`, error: Infinity, tolerance: 0 };
  let largest = 0;
  for (const value of data) largest = Math.max(largest, Math.abs(value));
  const {
    abs = 0,
    rel = 0,
    rel_to_max: relToMax,
    mismatch_fraction: fraction = 0,
    mismatch_abs: mismatchAbs = 0,
  } = tolerance;
  let outside = 0;
  let beyond = 0;
  let inside = { ratio: -1, error: 0, tolerance: relToMax !== undefined ? relToMax * largest : abs };
  let worst = { ratio: -1, error: 0, tolerance: 0, at: 0 };
  for (let i = 0; i < data.length; i++) {
    const error = Math.abs(got[i]! - data[i]!);
    const allowed = relToMax !== undefined ? relToMax * largest : abs + rel * Math.abs(data[i]!);
    const ratio = error === 0 ? 0 : Number.isNaN(error) ? Infinity : error / allowed;
    if (error <= allowed) {
      if (ratio > inside.ratio) inside = { ratio, error, tolerance: allowed };
      continue;
    }
    outside++;
    if (!(error <= mismatchAbs)) beyond++;
    if (ratio > worst.ratio) worst = { ratio, error, tolerance: allowed, at: i };
  }
  if (outside === 0 || (beyond === 0 && outside <= fraction * data.length))
    return { error: inside.error, tolerance: inside.tolerance };
  const { at, error } = worst;
  return {
    problem: `${outside} of ${data.length} values differ; at ${at} got ${got[at]}, want ${data[at]} (error ${error})`,
    error: Number.isNaN(error) ? Infinity : error,
    tolerance: worst.tolerance,
  };
}

/** Undefined when `got` agrees with `want`, otherwise a sentence. */
export const disagreement = (got: ArrayLike<number>, want: GoldenTensor, tolerance: Tolerance): string | undefined =>
  compare(got, want, tolerance).problem;
