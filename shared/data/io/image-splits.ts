/** Images as people have them, folder, zip or parquet, and the splits that come with them. */
import { existsSync } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { ThawError } from '@thaw/shared/protocol';
import { listSource, type ImageList } from '../image-list.js';
import type { ImageSource } from '../image-source.js';
import { parsePartition, partitionFileName, partitionOf } from '../partition.js';
import { defaultLimits } from './decode-image.js';
import { listImageFolder } from './image-folder.js';
import { listImageZip } from './image-zip.js';
import { openParquet, type ParquetOptions } from './parquet-images.js';

export interface ImageSplitOptions extends ParquetOptions {
  /** File that says which images are of which split; false: all are one split, whatever is found. */
  readonly partition?: string | false;
}
export interface ImageSplits {
  readonly train: ImageSource;
  readonly test?: ImageSource;
  /** What says which images are of which split, if anything does. */
  readonly splitBy?: string;
  /** Images for validation, which are in neither split. */
  readonly leftOut: number;
}

/**
 * Opens a folder of images, a zip of images, a parquet file, or a folder of parquet files. Splits are those of CelebA's `list_eval_partition.txt` (in
 * the folder or zip, beside it, or in a folder `Eval` beside its folder), or of the names of parquet files (`train-..`, `validation-..`, `test-..`).
 * @throws ThawError THAW_DATA_INVALID when there is nothing of that kind, or it cannot be read
 */
export async function openImageSplits(path: string, options: ImageSplitOptions = {}): Promise<ImageSplits> {
  const kind = await kindOf(path);
  if (kind === 'parquet' && typeof options.partition === 'string')
    throw new ThawError('THAW_DATA_INVALID', `${options.partition} lists files; ${path} is parquet.`);
  if (kind === 'parquet') return openParquet([path], options).then(wholly);
  if (kind === 'folder') {
    const parquet = await parquetFilesOf(path);
    if (parquet.length > 0) return openParquetFolder(path, parquet, options);
  }
  const list = kind === 'zip' ? await listImageZip(path, options) : await listImageFolder(path, options);
  const parallel = options.parallel ?? defaultLimits.parallel;
  const partition = options.partition === false ? undefined : await partitionFor(path, list, options.partition);
  if (partition === undefined) return wholly(listSource(list, parallel));
  const { train, validation, test } = partitionOf(
    list.names,
    parsePartition(partition.text, partition.name),
    partition.name,
  );
  return {
    train: listSource(list, parallel, train),
    ...(test.length === 0 ? {} : { test: listSource(list, parallel, test) }),
    splitBy: partition.name,
    leftOut: validation.length,
  };
}

const wholly = (train: ImageSource): ImageSplits => ({ train, leftOut: 0 });

async function kindOf(path: string): Promise<'folder' | 'zip' | 'parquet'> {
  try {
    if ((await stat(path)).isDirectory()) return 'folder';
  } catch (cause) {
    throw new ThawError('THAW_DATA_INVALID', `${path} cannot be read: ${(cause as Error).message}`, { cause });
  }
  if (/\.zip$/i.test(path)) return 'zip';
  if (/\.parquet$/i.test(path)) return 'parquet';
  throw new ThawError('THAW_DATA_INVALID', `${path} is no source of images.`, {
    cure: 'Give a folder of images, a .zip of images, a .parquet file or a folder of them, or an IDX file (..idx3-ubyte, also .gz).',
  });
}

async function partitionFor(
  path: string,
  list: ImageList & { readonly partition?: { readonly name: string; readonly text: string } },
  asked: string | undefined,
): Promise<{ name: string; text: string } | undefined> {
  if (asked === undefined && list.partition !== undefined) return list.partition;
  const found = [path, dirname(path), join(dirname(path), '..', 'Eval')].map((place) => join(place, partitionFileName));
  const name = asked ?? found.find((place) => existsSync(place));
  if (name === undefined) return undefined;
  try {
    return { name, text: await readFile(name, 'utf8') };
  } catch (cause) {
    throw new ThawError('THAW_DATA_INVALID', `${name} cannot be read: ${(cause as Error).message}`, { cause });
  }
}

/** Paths below a folder, in the order of their code units. */
async function parquetFilesOf(folder: string): Promise<string[]> {
  const names = await readdir(folder, { recursive: true });
  const hidden = (name: string): boolean => name.split(/[/\\]/).some((part) => part.startsWith('.'));
  return names.filter((name) => /\.parquet$/i.test(name) && !hidden(name)).sort();
}

async function openParquetFolder(
  folder: string,
  names: readonly string[],
  options: ImageSplitOptions,
): Promise<ImageSplits> {
  if (typeof options.partition === 'string')
    throw new ThawError('THAW_DATA_INVALID', `${options.partition} lists files; ${folder} holds parquet.`);
  const images = await listImageFolder(folder, options).catch(() => undefined);
  if (images !== undefined)
    throw new ThawError(
      'THAW_DATA_INVALID',
      `${folder} holds ${names.length} parquet files and ${images.names.length} image files.`,
      { cure: 'Give the folder of one kind.' },
    );
  const splitOf = (name: string): string | undefined => /^(train|validation|test)[-_.]/.exec(basename(name))?.[1];
  const pathsOf = (split: string | undefined): string[] =>
    names.filter((name) => splitOf(name) === split).map((name) => join(folder, name));
  const bySplit = options.partition !== false && names.every((name) => splitOf(name) !== undefined);
  if (!bySplit || pathsOf('train').length === 0)
    return wholly(
      await openParquet(
        names.map((name) => join(folder, name)),
        options,
      ),
    );
  const [validation, test] = [pathsOf('validation'), pathsOf('test')];
  return {
    train: await openParquet(pathsOf('train'), options),
    ...(test.length === 0 ? {} : { test: await openParquet(test, options) }),
    splitBy: `the names of the files in ${folder}`,
    leftOut: validation.length === 0 ? 0 : (await openParquet(validation, options)).count,
  };
}
