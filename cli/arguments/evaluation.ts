/** Commands that say how good a checkpoint is. */
import { engineNames, SamplingAlgorithmSchema, ThawError } from '@thaw/shared/protocol';
import { InvalidArgumentError, Option, type Command } from 'commander';
import { requireCluster } from '../cluster/cluster-file.js';
import { clusterSamplers, samplersAt } from '../cluster/samplers.js';
import { printResult } from '../terminal/output.js';
import { attempt, command, storeOf, wholeNumber, withStore } from './subcommand.js';

const engineOption = (): Option => new Option('--engine <kind>', 'engine').choices([...engineNames]).default('auto');

/** A number of images, or all of them. */
const countOrAll = (text: string): number | 'all' => {
  if (text === 'all') return 'all';
  try {
    return wholeNumber(1)(text);
  } catch {
    throw new InvalidArgumentError('It must be a whole number from 1 on, or all.');
  }
};

/** The samplers that are asked to restore; undefined: this process does. */
const samplersOf = ({ cluster, url, dir }: { cluster?: boolean; url?: string[]; dir: string }) => {
  if (cluster && url !== undefined)
    throw new ThawError('THAW_USAGE_INVALID', '--cluster and --url were both given.', { cure: 'Give one of them.' });
  if (cluster) return clusterSamplers(dir);
  return url === undefined ? undefined : samplersAt(url, process.env.THAW_TOKEN);
};

export function addEvaluationCommands(program: Command): void {
  withStore(
    command(
      program,
      'evaluate',
      'Score a checkpoint on held-out images, with intervals, curves and pictures; here, or on the samplers of a running cluster.',
      [
        'thaw evaluate --run mnist-demo --count 256',
        'thaw evaluate --checkpoint mnist-demo/600 --split test --metrics rmse,ssim,psnr,fid --count all --out report/',
        'thaw evaluate --run mnist-demo --metrics fid --features inception.onnx',
        'thaw evaluate --cluster --checkpoint mnist-demo/600 --count all',
        'THAW_TOKEN=... thaw evaluate --url https://samplers.example --checkpoint mnist-demo/600',
        'thaw evaluate --run mnist-demo --sampler algorithm1 --calls 4 --json',
      ],
    ),
  )
    .option('--run <name>', 'run; may be named with the checkpoint')
    .option('--checkpoint <step>', '<step> or <run>/<step>; the newest unless given')
    .addOption(new Option('--split <name>', 'split of the data set').choices(['test', 'train']).default('test'))
    .option('--count <n>', 'images, or all', countOrAll, 256)
    .option('--metrics <list>', 'rmse, ssim, psnr, l1, fid (or frechet)', 'rmse,ssim,psnr,l1')
    .addOption(
      new Option('--sampler <algorithm>', 'what is compared with the direct restoration')
        .choices(SamplingAlgorithmSchema.options)
        .default('algorithm2'),
    )
    .option('--calls <n>', 'network calls, spread over the severities; one for each unless given', wholeNumber(1))
    .option('--features <file>', 'ONNX network for fid; a classifier of the data set, called so, unless given')
    .option('--features-config <file>', 'JSON that describes it; <file>.json beside <file>.onnx unless given')
    .addOption(
      new Option('--convention <name>', 'which images are compared: as the official code, or x_T, x_0 and all')
        .choices(['official', 'plain'])
        .default('official'),
    )
    .addOption(new Option('--degraded <choice>', 'instead of the convention’s').choices(['x_T', 'first-update']))
    .addOption(new Option('--sampled <choice>', 'instead of the convention’s').choices(['x_0', 'last-estimate']))
    .option('--first-image <n>', 'first image of the split that counts, instead of the convention’s', wholeNumber(0))
    .option('--seed <n>', 'of random degradations and of the bootstrap', wholeNumber(0), 0)
    .option('--batch <n>', 'images in a network call; samplers have their own', wholeNumber(1), 8)
    .option('--cluster', 'restore on the samplers of the cluster that runs on --dir: the same report, bit for bit')
    .option('--url <url...>', 'restore on these samplers; the token is read from THAW_TOKEN')
    .addOption(engineOption())
    .option('--out <folder>', 'writes report.json, report.md and report.html')
    .action((options, used: Command) =>
      attempt(options, async () => {
        const { evaluateCheckpoint } = await import('../commands/evaluate.js');
        const samplers = samplersOf(options);
        if (samplers !== undefined && used.getOptionValueSource('batch') === 'cli')
          throw new ThawError('THAW_USAGE_INVALID', '--batch: samplers have batch sizes of their own.', {
            cure: 'Leave --batch out, or evaluate without --cluster and --url.',
          });
        const { report, text, files } = await evaluateCheckpoint({
          ...options,
          count: options.count === 'all' ? undefined : options.count,
          storeUrl:
            options.cluster && options.store === undefined ? requireCluster(options.dir).storeUrl : storeOf(options),
          ...(samplers === undefined ? {} : { samplers }),
        });
        printResult(report, options.json, () => [text, ...files.map((file) => `Written: ${file}`)].join('\n'));
      }),
    );

  withStore(
    command(
      program,
      'frechet <images> [reference]',
      'Frechet distance of two sets of images, such as generated ones and a data set: FID with the standard network.',
      [
        'thaw frechet out/ dataset:celeba/train --size 128 --features inception.onnx',
        'thaw frechet generated.zip celeba-statistics.npz --features inception.onnx',
        'thaw frechet dataset:celeba/train --features inception.onnx --save celeba.safetensors',
        'thaw frechet out/ dataset:mnist/test',
      ],
    ),
  )
    .addHelpText(
      'after',
      '\nA set is a folder, .zip or .parquet of images of one size, dataset:<name>/<split> of the store,\n' +
        'or statistics: a .npz with mu and sigma (pytorch-fid), a .safetensors written by --save.',
    )
    .option('--features <file>', 'ONNX network; the classifier of the data set unless given')
    .option('--features-config <file>', 'JSON that describes it; <file>.json beside <file>.onnx unless given')
    .option('--count <n>', 'only the first images of each set', wholeNumber(2))
    .option('--size <pixels>', 'edge to which images of a data set are cut; as stored unless given', wholeNumber(1))
    .option('--save <file>', 'write the statistics of the first set')
    .addOption(engineOption())
    .action((images, reference, options) =>
      attempt(options, async () => {
        const { frechet, frechetText } = await import('../commands/frechet.js');
        const report = await frechet({ ...options, images, reference, storeUrl: storeOf(options) });
        printResult(report, options.json, () => frechetText(report));
      }),
    );

  const features = program.command('features').description('Networks whose features a Frechet distance is taken on.');
  withStore(
    command(
      features,
      'train',
      'Train a small classifier on the labels of a data set; its features replace FID’s where no network is given.',
      ['thaw features train --dataset mnist', 'thaw features train --dataset cifar10 --size 32 --epochs 6'],
    ),
  )
    .requiredOption('--dataset <name>', 'packed data set with labels')
    .option('--size <pixels>', 'edge of the images, as the run has it; as stored unless given', wholeNumber(1))
    .option('--epochs <n>', 'passes over the training images', wholeNumber(1), 3)
    .option('--limit <n>', 'training images at most', wholeNumber(1), 60_000)
    .option('--seed <n>', 'of weights and order', wholeNumber(0), 0)
    .addOption(engineOption())
    .action((options) =>
      attempt(options, async () => {
        const { trainFeaturesCommand } = await import('../commands/features.js');
        const classifier = await trainFeaturesCommand({ ...options, storeUrl: storeOf(options) });
        printResult(
          classifier,
          options.json,
          () =>
            `Classifier of ${classifier.dataset} (${classifier.size} pixels): ${(100 * classifier.accuracy).toFixed(2)} % of ${classifier.heldOut} held-out images right; SHA-256 ${classifier.sha256}.`,
        );
      }),
    );
}
