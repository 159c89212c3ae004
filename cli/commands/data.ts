/** `thaw data pack | inspect | verify`: data sets as shards in an object store. */
import {
  inspectDataset,
  openCifar10,
  openIdx,
  openImageFolder,
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
  /** `mnist`, `cifar10:<folder>`, a folder of images, or an IDX file of images. */
  readonly source: string;
  /** Folder or IDX file of the test split. */
  readonly test?: string;
  /** Instead of `test`: share of the source, at its end, that is the test split. */
  readonly testPercent?: number;
  /** IDX files of the labels. */
  readonly labels?: string;
  readonly testLabels?: string;
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

async function sourcesOf(command: PackCommand): Promise<{ train: ImageSource; test?: ImageSource }> {
  if (command.testPercent !== undefined && (command.test !== undefined || bringsTestSplit(command.source)))
    throw new ThawError(
      'THAW_CONFIG_INVALID',
      `--test-percent: ${command.test === undefined ? command.source : '--test'} says which images the test split has already.`,
      { cure: 'Leave --test-percent out.' },
    );
  if (command.source === 'mnist') return openMnist();
  if (command.source.startsWith(cifar10Prefix)) return openCifar10(command.source.slice(cifar10Prefix.length));
  const open = async (path: string, labels: string | undefined): Promise<ImageSource> =>
    /idx\d-ubyte(\.gz)?$/.test(path) ? openIdx(path, labels) : openImageFolder(path);
  const train = await open(command.source, command.labels);
  if (command.testPercent !== undefined) {
    // Officially the first 90 % of CelebA, in the order of their names, are trained on.
    const first = Math.floor((train.count * (100 - command.testPercent)) / 100);
    return { train: sliceSource(train, 0, first), test: sliceSource(train, first, train.count) };
  }
  return command.test === undefined ? { train } : { train, test: await open(command.test, command.testLabels) };
}

export async function pack(command: PackCommand, store: ObjectStore, progress: Progress): Promise<PackResult> {
  const sources = await sourcesOf(command);
  const limited = (source: ImageSource): ImageSource =>
    command.limit === undefined ? source : sliceSource(source, 0, command.limit);
  return packDataset(
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
    const { manifest, alreadyPacked, resumedShards } = await pack(command, await openStore(command.storeUrl), progress);
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
