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

export type GoldenData = Float32Array | Float64Array | Int32Array | Uint8Array;

export interface GoldenTensor {
  readonly shape: readonly number[];
  readonly data: GoldenData;
}

const constructors = { F32: Float32Array, F64: Float64Array, I32: Int32Array, U8: Uint8Array } as const;

/** The folder of this repository's vectors. */
export const ownFolder = fileURLToPath(new URL('.', import.meta.url));

function readSafetensors(file: string): Map<string, GoldenTensor> {
  const bytes = readFileSync(file);
  const headerLength = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + headerLength)) as Record<
    string,
    { dtype: keyof typeof constructors; shape: number[]; data_offsets: [number, number] }
  >;
  const tensors = new Map<string, GoldenTensor>();
  for (const [name, entry] of Object.entries(header)) {
    if (name === '__metadata__') continue;
    const [begin, end] = entry.data_offsets;
    const base = bytes.byteOffset + 8 + headerLength;
    const aligned = bytes.buffer.slice(base + begin, base + end) as ArrayBuffer;
    tensors.set(name, { shape: entry.shape, data: new constructors[entry.dtype](aligned) });
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

  constructor(index: IndexCase, folder: string) {
    this.index = index;
    this.#folder = folder;
    this.id = index.id;
    this.params = index.params;
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

export function goldenCases(folder = ownFolder): GoldenCase[] {
  const index = JSON.parse(readFileSync(join(folder, 'index.json'), 'utf8')) as { cases: IndexCase[] };
  return index.cases.map((entry) => new GoldenCase(entry, folder));
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
