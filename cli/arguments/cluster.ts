/** Commands of a running local cluster: start it, sample and restore, look at checkpoints, move channels. */
import { userInfo } from 'node:os';
import { engineNames } from '@thaw/shared/protocol';
import { Option, type Command } from 'commander';
import { requireCluster } from '../cluster/cluster-file.js';
import type { SamplerOptions } from '../commands/sample.js';
import { printResult } from '../terminal/output.js';
import { attempt, command, numberFrom, recomputeOption, wholeNumber, withDir } from './subcommand.js';

const engineOption = (): Option =>
  new Option('--engine <kind>', 'engine of trainers and samplers').choices([...engineNames]).default('auto');
const brokerOption = (): Option =>
  new Option('--broker <kind>', 'message broker').choices(['auto', 'nats-server', 'embedded']).default('auto');
const logLevelOption = (): Option =>
  new Option('--log-level <level>', 'level of the log files')
    .choices(['trace', 'debug', 'info', 'warn', 'error', 'fatal'])
    .default('info');

/** What jobs of both kinds say of the sampler; {@link samplerOf} reads it. */
const withSampler = (target: Command): Command =>
  target
    .option('--sampler <algorithm>', 'algorithm2, algorithm1, direct, ddim (noise, animorphosis), or step')
    .option('--calls <n>', 'network calls, spread over the severities; one for each unless given', wholeNumber(1))
    .option(
      '--sample-steps <s>',
      'start sampling at this severity though the image is degraded further (official sample_steps, for debugging)',
      wholeNumber(1),
    )
    .option('--fresh-noise', 'algorithm1 of a model of noise: new noise for every state');
const samplerOf = ({ sampler, calls, sampleSteps, freshNoise }: SamplerOptions): SamplerOptions => ({
  sampler,
  calls,
  sampleSteps,
  freshNoise,
});

export function addClusterCommands(program: Command): void {
  withDir(
    command(program, 'up', 'Start a local cluster: pack MNIST, train, promote, sample; resumes where it stopped.', [
      'thaw up',
      'thaw up --trainers 3 --steps 500',
      'thaw up --steps 200 --exit --json',
    ]),
  )
    .option('--config <file>', 'run file (YAML); the MNIST demonstration unless given')
    .option('--trainers <n>', 'trainer processes', wholeNumber(0), 2)
    .option('--samplers <n>', 'sampler processes', wholeNumber(0), 1)
    .option('--steps <n>', 'optimizer steps of the run', wholeNumber(1))
    .option('--seed <n>', 'seed of the run', wholeNumber(0))
    .option('--port <n>', 'port of the page; 0 takes a free one', wholeNumber(0, 65_535), 0)
    .addOption(engineOption())
    .addOption(recomputeOption('what trainers compute again instead of keeping it'))
    .addOption(brokerOption())
    .addOption(logLevelOption())
    .option('--exit', 'stop when the run is finished, and draw 16 samples', false)
    .action((options) =>
      attempt(options, async () => {
        const { up } = await import('../commands/up.js');
        await up(options);
      }),
    );

  withDir(
    command(
      program,
      'train <run-file>',
      'Train a run file to its steps, over as many sittings as it takes: no samplers, no page; Ctrl-C saves.',
      ['thaw train examples/mnist-blur.yaml --steps 5000', 'thaw train run.yaml --dir runs/ --trainers 1 --json'],
    ),
  )
    .option('--steps <n>', 'optimizer steps of the run; those of the run file unless given', wholeNumber(1))
    .option('--trainers <n>', 'trainer processes', wholeNumber(1), 2)
    .option('--seed <n>', 'seed of the run', wholeNumber(0))
    .addOption(engineOption())
    .addOption(recomputeOption('what trainers compute again instead of keeping it'))
    .addOption(brokerOption())
    .addOption(logLevelOption())
    .action((runFile, options) =>
      attempt(options, async () => {
        const { train, trainedText } = await import('../commands/train.js');
        const trained = await train(runFile, options);
        printResult(trained, options.json, () => trainedText(trained));
      }),
    );

  withSampler(
    withDir(
      command(
        program,
        'sample',
        'Degrade held-out test images, chosen by the seed, and restore them; or, with --mode generate, make images from nothing.',
        ['thaw sample --count 4 --seed 7 --out out/', 'thaw sample --mode generate --noise 0 --out out/'],
      ),
    )
      .addOption(
        new Option('--mode <mode>', 'sample: restore degraded test images; generate: images from nothing')
          .choices(['sample', 'generate'])
          .default('sample'),
      )
      .option(
        '--noise <deviation>',
        'deviation of noise added to the start; generate: 0.002 for blur unless given; sample: taken off the result again',
        numberFrom(0, 1),
      )
      .option(
        '--prior <sha256>',
        'generate: start from this prior instead of the checkpoint’s own (thaw fit-prior says which)',
      )
      .option('--count <n>', 'images', wholeNumber(1), 4)
      .option('--seed <n>', 'equal seeds give equal bytes', wholeNumber(0), 0)
      .option('--out <folder>', 'folder for the PNG files', 'out')
      .option('--channel <name>', 'channel whose checkpoint is used; the samplers’ own unless given')
      .option('--checkpoint <step>', 'checkpoint instead of a channel', wholeNumber(0)),
  ).action((options) =>
    attempt(options, async () => {
      const { drawSamples } = await import('../commands/sample.js');
      const { count, seed, out, channel, checkpoint, mode, noise, prior } = options;
      const drawn = await drawSamples(requireCluster(options.dir), {
        count,
        seed,
        out,
        channel,
        version: checkpoint,
        mode,
        noise,
        prior,
        ...samplerOf(options),
      });
      const from = drawn.prior === undefined ? '' : `, prior ${drawn.prior.slice(0, 16)}`;
      printResult(
        drawn,
        options.json,
        () => `Step ${drawn.version}, seed ${drawn.seed}${from}:\n${drawn.files.join('\n')}`,
      );
    }),
  );

  withSampler(
    withDir(
      command(
        program,
        'restore <image>',
        'Restore a degraded image; with --degrade the image is clean and degraded first.',
        ['thaw restore digit.png --out restored.png', 'thaw restore photo.png --degrade --out restored.png'],
      ),
    )
      .option('--out <file>', 'PNG file to write', 'restored.png')
      .option('--channel <name>', 'channel whose checkpoint is used')
      .option('--checkpoint <step>', 'checkpoint instead of a channel', wholeNumber(0)),
  )
    .option('--severity <s>', 'how far degraded the image is, 1..T; T unless given', wholeNumber(1))
    .option('--degrade', 'the image is clean: degrade it to the severity first')
    .option('--convert', 'take a greyscale image where the model takes colour, or a colour one as its luma')
    .action((image, options) =>
      attempt(options, async () => {
        const { restoreImage } = await import('../commands/sample.js');
        const { out, channel, severity, degrade, convert, checkpoint } = options;
        const result = await restoreImage(requireCluster(options.dir), image, {
          out,
          channel,
          severity,
          degrade,
          convert,
          ...samplerOf(options),
          version: checkpoint,
        });
        printResult(result, options.json, () => `Restored with step ${result.version}: ${result.file}`);
      }),
    );

  withDir(
    command(program, 'checkpoints', 'List the checkpoints of the run, their scores and their channels.', [
      'thaw checkpoints',
      'thaw checkpoints --json',
    ]),
  ).action((options) =>
    attempt(options, async () => {
      const { checkpointTable, listCheckpointsOf } = await import('../commands/channels.js');
      const cluster = requireCluster(options.dir);
      const listed = await listCheckpointsOf({ url: cluster.coordinator.url, token: cluster.token });
      printResult(listed, options.json, () => checkpointTable(listed));
    }),
  );

  withDir(command(program, 'promote', 'Make a channel serve a checkpoint.', ['thaw promote 200 --channel stable']))
    .argument('<step>', 'step of the checkpoint', wholeNumber(0))
    .option('--channel <name>', 'channel', 'stable')
    .action((step, options) =>
      attempt(options, async () => {
        const { promoteTo } = await import('../commands/channels.js');
        const cluster = requireCluster(options.dir);
        const target = { url: cluster.coordinator.url, token: cluster.token };
        const moved = await promoteTo(target, options.channel, step, `cli:${userInfo().username}`);
        printResult(
          moved,
          options.json,
          () => `${moved.channel} serves step ${moved.step} (record ${moved.seq}, ${moved.sha256}).`,
        );
      }),
    );

  withDir(
    command(program, 'rollback', 'Move a channel back to what it served before.', ['thaw rollback --channel stable']),
  )
    .option('--channel <name>', 'channel', 'stable')
    .action((options) =>
      attempt(options, async () => {
        const { rollBack } = await import('../commands/channels.js');
        const cluster = requireCluster(options.dir);
        const moved = await rollBack(
          { url: cluster.coordinator.url, token: cluster.token },
          options.channel,
          `cli:${userInfo().username}`,
        );
        printResult(
          moved,
          options.json,
          () => `${moved.channel} serves step ${moved.step} again (record ${moved.seq}, ${moved.sha256}).`,
        );
      }),
    );
}
