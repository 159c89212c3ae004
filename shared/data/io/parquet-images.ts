/** Parquet files with a column of images as a source. */
import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import { ThawError } from '@thaw/shared/protocol';
import type { BadImage, ImageSource, SourceImage } from '../image-source.js';
import { mapInOrder } from '../ordered-work.js';
import type { ParquetColumns } from '../parquet-columns.js';
import { decodeImage, defaultLimits, type ImageLimits } from './decode-image.js';
import { openParquetFile, rowsOf, type ParquetFile, type ParquetLimits, type ParquetRow } from './parquet-file.js';

export interface ParquetOptions extends ImageLimits, ParquetLimits, Partial<ParquetColumns> {}

/**
 * The rows of all files, in the order given. An image is called by the path that its row has, or by file and row. Images that cannot be decoded,
 * rows without one, and labels beyond 32 bits come as bad items; rows that cannot be read at all end the reading.
 * @throws ThawError THAW_DATA_INVALID, as {@link openParquetFile} does, and for files without a row
 */
export async function openParquet(paths: readonly string[], options: ParquetOptions = {}): Promise<ImageSource> {
  const { maxFileBytes, maxPixels, parallel } = { ...defaultLimits, ...options };
  const files: ParquetFile[] = [];
  for (const path of paths) files.push(await openParquetFile(path, options, options));
  const count = files.reduce((sum, file) => sum + file.rows, 0);
  if (count === 0) throw new ThawError('THAW_DATA_INVALID', `${paths.join(', ')}: there are no rows.`);
  const digest = createHash('sha256');
  for (const { path, size, modifiedMs, columns } of files)
    digest.update(JSON.stringify([basename(path), size, modifiedMs, columns]));

  async function* rows(from: number): AsyncGenerator<{ file: string; row: ParquetRow }> {
    let skip = from;
    for (const file of files) {
      if (skip < file.rows)
        for await (const row of rowsOf(file, skip, options)) yield { file: basename(file.path), row };
      skip = Math.max(0, skip - file.rows);
    }
  }
  const read = async (file: string, row: ParquetRow): Promise<SourceImage | BadImage> => {
    const name = row.path ?? `${file}#${row.row}`;
    const bad = (reason: string): BadImage => ({ kind: 'bad', name, reason });
    if (row.bytes === undefined)
      return bad(row.path === undefined ? 'The row has no image.' : 'The row has the name of an image only.');
    if (row.bytes.length > maxFileBytes)
      return bad(`The image has ${row.bytes.length} bytes; at most ${maxFileBytes} are read.`);
    const label = row.label === undefined ? undefined : Number(row.label);
    if (label !== undefined && label !== (label | 0)) return bad(`The label ${row.label} is beyond 32 bits.`);
    const image = await decodeImage(name, row.bytes, maxPixels);
    return image.kind === 'bad' || label === undefined ? image : { ...image, label };
  };
  return {
    identity: `parquet:${digest.digest('hex')}`,
    count,
    async *items(from) {
      yield* mapInOrder(rows(from), parallel, ({ file, row }) => read(file, row));
    },
  };
}
