/** Commands on data sets, and on runs in a store. */
import { Option, type Command } from 'commander';
import { printResult } from '../terminal/output.js';
import { attempt, command, storeOf, storeToRead, wholeNumber, withStore } from './subcommand.js';

export function addDataCommands(program: Command): void {
  const data = program.command('data').description('Data sets: packed once into shards, read by lease.');
  withStore(
    command(
      data,
      'pack <source>',
      'Pack `mnist`, `cifar10:<folder>`, a folder or .zip of images, a .parquet file or a folder of them, or an IDX file into shards.',
      [
        'thaw data pack mnist --name mnist --method pad --size 32',
        'thaw data pack cifar10:cifar-10-batches-bin --name cifar10',
        'thaw data pack img_align_celeba.zip --name celeba --method pillow-bilinear-crop --size 64',
        'thaw data pack beans/ --name beans --image-column image --label-column labels --channels 3 --method pillow-bilinear --size 71',
        'thaw data pack faces/ --name celeba --test-percent 10 --method pillow-bilinear --size 143 --store s3://bucket/thaw',
      ],
    ),
  )
    .requiredOption('--name <name>', 'name of the data set')
    .addOption(
      new Option('--method <method>', 'how images get their stored size')
        .choices(['none', 'pad', 'pillow-bilinear', 'pillow-bilinear-crop'])
        .default('none'),
    )
    .option('--size <pixels>', 'stored edge', wholeNumber(1))
    .option('--channels <n>', '1 or 3; as the source unless given', wholeNumber(1))
    .option('--test <source>', 'the test split: a source like the first')
    .option(
      '--test-percent <n>',
      'or: the last n % of the images, in their order, are the test split',
      wholeNumber(1, 99),
    )
    .option(
      '--partition <file>',
      "list of lines `<image> <0 training, 1 validation, 2 test>`; CelebA's list_eval_partition.txt is found in or beside the source",
    )
    .option('--no-partition', 'one split, whatever a list or the names of parquet files (train-.., test-..) say')
    .option('--image-column <name>', 'parquet: column of images, if there are several')
    .option('--label-column <name>', 'parquet: column of labels; `label` unless given, if there is one')
    .option('--labels <file>', 'IDX file of labels')
    .option('--test-labels <file>', 'IDX file of the test labels')
    .option('--shard-bytes <n>', 'bytes of images in a shard; 4 MiB unless given', wholeNumber(1))
    .option('--limit <n>', 'only the first images of each split', wholeNumber(1))
    .action((source, options) =>
      attempt(options, async () => {
        const { packCommand } = await import('../commands/data.js');
        const result = await packCommand({ ...options, source, storeUrl: storeOf(options) });
        printResult(result, options.json, () => JSON.stringify(result, undefined, 2));
      }),
    );
  withStore(command(data, 'inspect <name>', 'What a data set holds.', ['thaw data inspect mnist'])).action(
    (name, options) =>
      attempt(options, async () => {
        const { inspectCommand } = await import('../commands/data.js');
        const result = await inspectCommand(storeToRead(options), name);
        printResult(result, options.json, () => JSON.stringify(result, undefined, 2));
      }),
  );
  withStore(
    command(data, 'verify <name>', 'Read every shard and check every digest.', ['thaw data verify mnist']),
  ).action((name, options) =>
    attempt(options, async () => {
      const { verifyCommand } = await import('../commands/data.js');
      const result = await verifyCommand(storeToRead(options), name);
      printResult(result, options.json, () => JSON.stringify(result, undefined, 2));
    }),
  );

  const run = program.command('run').description('Runs in an object store.');
  withStore(
    command(run, 'create <file>', 'Store a run file; coordinators and trainers find it by its name.', [
      'thaw run create examples/celeba-blur.yaml --store s3://bucket/thaw',
    ]),
  )
    .option('--steps <n>', 'optimizer steps after which the run is complete; may be raised later', wholeNumber(1))
    .option('--seed <n>', 'seed of the run', wholeNumber(0))
    .action((file, options) =>
      attempt(options, async () => {
        const { createRunFromFile } = await import('../commands/create-run.js');
        const { seed, steps } = options;
        const stored = await createRunFromFile(storeOf(options), file, { seed, steps });
        printResult(
          { run: stored.config.name, steps: stored.targetSteps, configSha256: stored.configSha256 },
          options.json,
          () => `Stored run ${stored.config.name}, ${stored.targetSteps} steps.`,
        );
      }),
    );
}
