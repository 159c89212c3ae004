/** One parquet file with a column of images: what it holds, and its rows. */
import { open, type FileHandle } from 'node:fs/promises';
import * as zlib from 'node:zlib';
import { ThawError } from '@thaw/shared/protocol';
import { parquetMetadataAsync, parquetReadObjects, parquetSchema, snappyUncompress } from 'hyparquet';
import type { AsyncBuffer, CompressionCodec, Compressors, FileMetaData, SchemaTree } from 'hyparquet/src/types.js';
import { chooseColumns, type ParquetColumns } from '../parquet-columns.js';

export interface ParquetLimits {
  /** Bytes that one row group's columns may take, packed or unpacked; a group is in memory at once. Default 1 GiB. */
  readonly maxGroupBytes?: number;
}
export interface ParquetFile {
  readonly path: string;
  readonly size: number;
  readonly modifiedMs: number;
  readonly columns: ParquetColumns;
  readonly rows: number;
  /** Rows of each group. */
  readonly groups: readonly number[];
  readonly metadata: FileMetaData;
}
export interface ParquetRow {
  /** Number within the file. */
  readonly row: number;
  /** Undefined where the column has no value. */
  readonly bytes: Uint8Array | undefined;
  /** The file that the image once was, if the column says so. */
  readonly path: string | undefined;
  readonly label: number | bigint | undefined;
}

export const defaultMaxGroupBytes = 2 ** 30;

type Inflate = (input: Uint8Array, options: { maxOutputLength: number }) => Uint8Array;
type Decompress = (input: Uint8Array, bytes: number) => Uint8Array;
/** Stops at the size that the page should have. */
const ofNode =
  (inflate: Inflate): Decompress =>
  (input, bytes) =>
    inflate(input, { maxOutputLength: Math.max(1, bytes) });
/** Node has this one from 22.15 on. */
const zstd = (zlib as { zstdDecompressSync?: Inflate }).zstdDecompressSync;
const decompressors: Partial<Record<CompressionCodec, Decompress>> = {
  GZIP: ofNode(zlib.gunzipSync),
  BROTLI: ofNode(zlib.brotliDecompressSync),
  ...(zstd === undefined ? {} : { ZSTD: ofNode(zstd) }),
  SNAPPY: (input, bytes) => {
    const output = new Uint8Array(bytes);
    snappyUncompress(input, output);
    return output;
  },
};
const readable = new Set<string>(['UNCOMPRESSED', ...Object.keys(decompressors)]);
function limitedTo(maxBytes: number): Compressors {
  return Object.fromEntries(
    Object.entries(decompressors).map(([codec, decompress]) => [
      codec,
      (input: Uint8Array, bytes: number) => {
        if (!(bytes >= 0 && bytes <= maxBytes)) throw new Error(`A page of ${bytes} bytes is too large.`);
        return decompress(input, bytes);
      },
    ]),
  );
}

/** Slices that reach beyond the file are refused. */
const bufferOf = (file: FileHandle, byteLength: number): AsyncBuffer => ({
  byteLength,
  slice: async (start, end = byteLength) => {
    if (!(start >= 0 && end >= start && end <= byteLength)) throw new Error(`Bytes ${start} to ${end} do not exist.`);
    const bytes = new Uint8Array(end - start);
    let at = 0;
    while (at < bytes.length) {
      const { bytesRead } = await file.read(bytes, at, bytes.length - at, start + at);
      if (bytesRead === 0) throw new Error('The file has become shorter.');
      at += bytesRead;
    }
    return bytes.buffer;
  },
});

/**
 * Reads what a file says of itself at its end, and checks that its columns can be read.
 * @throws ThawError THAW_DATA_INVALID for a file that cannot be read, is no parquet or only the beginning of one, has no column of images or several,
 *   is compressed in a way that is not read, or has row groups that are too large.
 */
export async function openParquetFile(
  path: string,
  asked: Partial<ParquetColumns>,
  { maxGroupBytes = defaultMaxGroupBytes }: ParquetLimits = {},
): Promise<ParquetFile> {
  let metadata: FileMetaData;
  let schema: SchemaTree;
  let size: number;
  let modifiedMs: number;
  try {
    const file = await open(path, 'r');
    try {
      ({ size, mtimeMs: modifiedMs } = await file.stat());
      if (size < 12) throw new Error(`it has ${size} bytes only`);
      const bytes = bufferOf(file, size);
      if (Buffer.from(await bytes.slice(0, 4)).toString('latin1') !== 'PAR1')
        throw new Error('it does not begin with PAR1');
      metadata = await parquetMetadataAsync(bytes);
      schema = parquetSchema(metadata);
    } finally {
      await file.close();
    }
  } catch (cause) {
    throw new ThawError('THAW_DATA_INVALID', `${path} cannot be read as parquet: ${(cause as Error).message}.`, {
      cure: 'Check that the file is whole.',
      cause,
    });
  }
  const invalid = (what: string, cure: string): ThawError =>
    new ThawError('THAW_DATA_INVALID', `${path} ${what}`, { cure });
  const torn = (): ThawError =>
    invalid('contradicts itself: its groups of rows do not fit it.', 'Check that the file is whole.');
  const columns = chooseColumns(schema, asked, path);
  for (const { columns: chunks, num_rows: count } of metadata.row_groups) {
    if (Number(count) === 0) continue;
    let bytes = 0;
    for (const { meta_data: chunk, crypto_metadata: encrypted } of chunks) {
      if (encrypted !== undefined || chunk === undefined)
        throw invalid('is encrypted.', 'Write it without encryption.');
      if (chunk.path_in_schema[0] !== columns.image && chunk.path_in_schema[0] !== columns.label) continue;
      if (!readable.has(chunk.codec))
        throw invalid(
          `is compressed with ${chunk.codec}; ${[...readable].join(', ')} are read.`,
          zstd === undefined ? 'Write it with Snappy; ZSTD is read from Node 22.15 on.' : 'Write it with Snappy.',
        );
      const begin = Number(chunk.dictionary_page_offset ?? chunk.data_page_offset);
      const packed = Number(chunk.total_compressed_size);
      if (!(begin >= 4 && packed >= 0 && begin + packed <= size - metadata.metadata_length - 8)) throw torn();
      bytes += Math.max(packed, Number(chunk.total_uncompressed_size));
    }
    if (bytes > maxGroupBytes)
      throw invalid(
        `has a group of rows of ${bytes} bytes; at most ${maxGroupBytes} are read at once.`,
        'Write it with fewer rows in a group (`row_group_size`).',
      );
  }
  const groups = metadata.row_groups.map(({ num_rows }) => Number(num_rows));
  const rows = groups.reduce((sum, count) => sum + count, 0);
  if (groups.some((count) => !(count >= 0)) || !Number.isSafeInteger(rows) || rows !== Number(metadata.num_rows))
    throw torn();
  return { path, size, modifiedMs, columns, rows, groups, metadata };
}

/**
 * The rows from number `from` on, one group of rows in memory at a time.
 * @throws ThawError THAW_DATA_INVALID for a group that is torn
 */
export async function* rowsOf(
  parquet: ParquetFile,
  from: number,
  { maxGroupBytes = defaultMaxGroupBytes }: ParquetLimits = {},
): AsyncGenerator<ParquetRow> {
  const { path, columns, groups, metadata } = parquet;
  const file = await open(path, 'r');
  try {
    let begin = 0;
    for (const [number, count] of groups.entries()) {
      const rowStart = Math.max(begin, from);
      const rowEnd = begin + count;
      begin = rowEnd;
      if (rowStart >= rowEnd) continue;
      let rows: Record<string, unknown>[];
      try {
        rows = await parquetReadObjects({
          file: bufferOf(file, parquet.size),
          metadata,
          columns: columns.label === undefined ? [columns.image] : [columns.image, columns.label],
          rowStart,
          rowEnd,
          utf8: false,
          compressors: limitedTo(maxGroupBytes),
        });
        if (rows.length !== rowEnd - rowStart || rows.some((row) => row[columns.image] === undefined))
          throw new Error(`It should have ${rowEnd - rowStart} rows.`);
      } catch (cause) {
        throw new ThawError(
          'THAW_DATA_INVALID',
          `${path}: group ${number} of its rows (${rowStart} to ${rowEnd - 1}) is torn: ${(cause as Error).message}`,
          { cure: 'Get the file again. What was packed before is kept: the same command goes on from there.', cause },
        );
      }
      for (const [index, row] of rows.entries()) yield rowFrom(rowStart + index, row, columns);
    }
  } finally {
    await file.close();
  }
}

function rowFrom(row: number, values: Record<string, unknown>, columns: ParquetColumns): ParquetRow {
  const value = values[columns.image] as Uint8Array | { bytes?: unknown; path?: unknown } | null;
  const struct = value === null || value instanceof Uint8Array ? { bytes: value } : value;
  const label = columns.label === undefined ? undefined : values[columns.label];
  return {
    row,
    bytes: struct.bytes instanceof Uint8Array ? struct.bytes : undefined,
    path: 'path' in struct && typeof struct.path === 'string' && struct.path !== '' ? struct.path : undefined,
    label: typeof label === 'number' || typeof label === 'bigint' ? label : undefined,
  };
}
