/** `thaw data pack | inspect | verify`: data sets as shards in an object store. */
import {
  inspectDataset,
  openCifar10,
  openIdx,
  openImageSplits,
  openMnist,
  packDataset,
  sliceSource,
  verifyDataset,
  type ImageSource,
  type PackResult,
  type Preprocessing,
} from '@thaw/shared/data';
import { ThawError } from '@thaw/shared/protocol';
import { openStore, type ObjectStore } from '@thaw/shared/storage';
import { createProgress, type Progress } from '../terminal/progress.js';

export interface PackCommand {
  readonly storeUrl: string;
  readonly name: string;
  /** `mnist`, `cifar10:<folder>`, a folder or zip of images, a parquet file or a folder of them, or an IDX file of images. */
  readonly source: string;
  /** Source of the test split. */
  readonly test?: string;
  /** Instead of `test`: share of the source, at its end, that is the test split. */
  readonly testPercent?: number;
  /** IDX files of the labels. */
  readonly labels?: string;
  readonly testLabels?: string;
  /** File that says which images are of which split; false: all are one, whatever is found. */
  readonly partition?: string | boolean;
  /** Columns of parquet files. */
  readonly imageColumn?: string;
  readonly labelColumn?: string;
  readonly method: Preprocessing['method'];
  readonly size?: number;
  readonly channels?: 1 | 3;
  /** 4 MiB unless given. */
  readonly shardBytes?: number;
  /** Takes only the first images of each split. */
  readonly limit?: number;
}

/** Small shards: MNIST's 60,000 images of 32 x 32 become 15, so that lanes and epochs cross shards in the demonstration too. */
const demoShardBytes = 4 << 20;

/** In front of the folder of CIFAR-10's binary files. */
const cifar10Prefix = 'cifar10:';

const bringsTestSplit = (source: string): boolean => source === 'mnist' || source.startsWith(cifar10Prefix);

/** One split of a source: all of it, unless the source says otherwise. */
interface Sources {
  readonly train: ImageSource;
  readonly test?: ImageSource;
  /** What says which images are the test split. */
  readonly splitBy?: string;
  /** Images for validation, which are in no split. */
  readonly leftOut?: number;
}

async function open(
  path: string,
  [labelsFlag, labels]: readonly [flag: string, file: string | undefined],
  { partition, imageColumn, labelColumn }: PackCommand,
): Promise<Sources> {
  const idx = /idx\d-ubyte(\.gz)?$/.test(path);
  const unused = idx
    ? { '--partition': partition || undefined, '--image-column': imageColumn, '--label-column': labelColumn }
    : { [labelsFlag]: labels };
  refuse(unused, `says nothing about ${path}`);
  if (idx) return { train: await openIdx(path, labels) };
  return openImageSplits(path, {
    ...(partition === undefined || partition === true ? {} : { partition }),
    ...(imageColumn === undefined ? {} : { image: imageColumn }),
    ...(labelColumn === undefined ? {} : { label: labelColumn }),
  });
}

/** Options that would have no effect are refused, not passed over. */
function refuse(options: Readonly<Record<string, unknown>>, why: string): void {
  for (const [flag, value] of Object.entries(options))
    if (value !== undefined)
      throw new ThawError('THAW_CONFIG_INVALID', `${flag}: it ${why}.`, { cure: `Leave ${flag} out.` });
}

async function sourcesOf(command: PackCommand): Promise<Sources> {
  const { source, test, testPercent, labels, testLabels, partition, imageColumn, labelColumn } = command;
  if (bringsTestSplit(source)) {
    const others = {
      '--partition': partition || undefined,
      '--image-column': imageColumn,
      '--label-column': labelColumn,
    };
    refuse(
      { '--test-percent': testPercent, '--test': test, '--labels': labels, '--test-labels': testLabels, ...others },
      `is of no use, as ${source} says what its images and splits are`,
    );
    return source === 'mnist' ? openMnist() : openCifar10(source.slice(cifar10Prefix.length));
  }
  if (test !== undefined)
    refuse({ '--test-percent': testPercent }, 'is of no use, as --test says which images the test split has already');
  else refuse({ '--test-labels': testLabels }, 'is for the images of --test');
  const opened = await open(source, ['--labels', labels], command);
  if (opened.splitBy !== undefined && (test !== undefined || testPercent !== undefined))
    throw new ThawError(
      'THAW_CONFIG_INVALID',
      `${test === undefined ? '--test-percent' : '--test'}: ${opened.splitBy} says which images are the test split.`,
      { cure: 'Leave it out, or say --no-partition.' },
    );
  if (testPercent !== undefined) {
    // Officially the first 90 % of CelebA, in the order of their names, are trained on.
    const { train } = opened;
    const first = Math.floor((train.count * (100 - testPercent)) / 100);
    return { train: sliceSource(train, 0, first), test: sliceSource(train, first, train.count) };
  }
  if (test === undefined) return opened;
  const tests = await open(test, ['--test-labels', testLabels], { ...command, partition: false });
  return { train: opened.train, test: tests.train };
}

export async function pack(
  command: PackCommand,
  store: ObjectStore,
  progress: Progress,
): Promise<PackResult & Pick<Sources, 'splitBy' | 'leftOut'>> {
  const sources = await sourcesOf(command);
  const limited = (source: ImageSource): ImageSource =>
    command.limit === undefined ? source : sliceSource(source, 0, command.limit);
  const { splitBy, leftOut } = sources;
  const result = await packDataset(
    store,
    { train: limited(sources.train), ...(sources.test === undefined ? {} : { test: limited(sources.test) }) },
    {
      name: command.name,
      preprocessing: {
        method: command.method,
        ...(command.size === undefined ? {} : { size: command.size }),
        ...(command.channels === undefined ? {} : { channels: command.channels }),
      },
      shardBytes: command.shardBytes ?? demoShardBytes,
      onProgress: ({ split, done, total, shards, quarantined }) =>
        progress.update({
          done,
          total,
          text: `${split}: ${done} of ${total} images, ${shards} shards${quarantined > 0 ? `, ${quarantined} bad` : ''}`,
        }),
    },
  );
  return { ...result, ...(splitBy === undefined ? {} : { splitBy, leftOut }) };
}

/** Packs the demonstration's MNIST at the edge that the network wants, when the store does not hold it yet. */
export async function packMnist(store: ObjectStore, size: number, progress: Progress): Promise<void> {
  const method = size === 28 ? 'none' : size > 28 ? 'pad' : 'pillow-bilinear';
  const command = {
    storeUrl: '',
    name: 'mnist',
    source: 'mnist',
    method,
    ...(size === 28 ? {} : { size }),
  } as const;
  await pack(command, store, progress);
}

export async function packCommand(command: PackCommand): Promise<Record<string, unknown>> {
  const progress = createProgress();
  try {
    const { manifest, alreadyPacked, resumedShards, splitBy, leftOut } = await pack(
      command,
      await openStore(command.storeUrl),
      progress,
    );
    const shards = Object.fromEntries(
      Object.entries(manifest.splits).map(([split, value]) => [
        split,
        { images: value.count, shards: value.shards.length, bad: value.quarantined },
      ]),
    );
    return {
      name: manifest.name,
      imageShape: manifest.imageShape,
      ...shards,
      ...(splitBy === undefined ? {} : { splitBy, leftOutForValidation: leftOut }),
      contentSha256: manifest.contentSha256,
      alreadyPacked,
      resumedShards,
    };
  } finally {
    progress.end();
  }
}

export const inspectCommand = async (storeUrl: string, name: string): Promise<object> =>
  inspectDataset(await openStore(storeUrl), name);

export async function verifyCommand(storeUrl: string, name: string): Promise<object> {
  const report = await verifyDataset(await openStore(storeUrl), name);
  if (!report.ok)
    throw new ThawError(
      'THAW_DATA_CORRUPT',
      `The data set "${name}" has ${report.problems.length} problem(s): ${report.problems.slice(0, 5).join('; ')}`,
    );
  return report;
}
