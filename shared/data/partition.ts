/** CelebA's `list_eval_partition.txt`: which images are for training (0), validation (1) and testing (2). Pure. */
import { ThawError } from '@thaw/shared/protocol';

export const partitionFileName = 'list_eval_partition.txt';

/** Split of an image by its name without folders and extension: CelebA's own list says .jpg for its PNG files too. */
export type PartitionList = ReadonlyMap<string, 0 | 1 | 2>;
/** Numbers of the images of each split, in the order of the images. */
export interface Partition {
  readonly train: readonly number[];
  readonly validation: readonly number[];
  readonly test: readonly number[];
}

const stem = (name: string): string => name.slice(name.lastIndexOf('/') + 1).replace(/\.[^.]*$/, '');

/**
 * Lines `<file name> <0, 1 or 2>`; a comma may stand between them, and a head line `image_id,partition` above (as in the
 * CSV form that is passed around).
 * @throws ThawError THAW_DATA_INVALID for any other line, and for a name that is in two splits.
 */
export function parsePartition(text: string, file: string): PartitionList {
  const list = new Map<string, 0 | 1 | 2>();
  text.split(/\r?\n/).forEach((line, index) => {
    if (line.trim() === '' || (index === 0 && line.trim() === 'image_id,partition')) return;
    const match = /^\s*(\S+?)\s*[\s,]\s*([012])\s*$/.exec(line);
    if (match === null)
      throw new ThawError('THAW_DATA_INVALID', `${file}, line ${index + 1}: "${line.slice(0, 80)}" is no entry.`, {
        cure: 'Every line must be a file name and 0 (training), 1 (validation) or 2 (test).',
      });
    const split = Number(match[2]) as 0 | 1 | 2;
    const name = stem(match[1]!);
    if ((list.get(name) ?? split) !== split)
      throw new ThawError('THAW_DATA_INVALID', `${file}, line ${index + 1}: ${match[1]} is in another split above.`);
    list.set(name, split);
  });
  if (list.size === 0) throw new ThawError('THAW_DATA_INVALID', `${file} lists no image.`);
  return list;
}

/**
 * Deals images out by a list; it may list more than there are.
 * @throws ThawError THAW_DATA_INVALID when an image is not listed, or none is for training.
 */
export function partitionOf(names: readonly string[], list: PartitionList, file: string): Partition {
  const splits: [number[], number[], number[]] = [[], [], []];
  const unlisted = names.filter((name, index) => {
    const split = list.get(stem(name));
    if (split !== undefined) splits[split].push(index);
    return split === undefined;
  });
  const cure = 'Give the list that belongs to these images, or say --no-partition.';
  if (unlisted.length > 0)
    throw new ThawError(
      'THAW_DATA_INVALID',
      `${file} does not list ${unlisted.length} of ${names.length} images, the first of them ${unlisted[0]}.`,
      { cure },
    );
  const [train, validation, test] = splits;
  if (train.length === 0)
    throw new ThawError('THAW_DATA_INVALID', `${file} gives none of the ${names.length} images to training.`, { cure });
  return { train, validation, test };
}
