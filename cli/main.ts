/** The `thaw` command. Every subcommand is a few lines here; what it does is in `commands/`. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { SamplingAlgorithmSchema, ThawError } from '@thaw/shared/protocol';
import { Command, InvalidArgumentError, Option } from 'commander';
import { defaultClusterDir, requireCluster } from './cluster/cluster-file.js';
import { storeUrlOf } from './cluster/local-cluster.js';
import {
  auditAt,
  auditLog,
  auditVerify,
  checkpointTable,
  listCheckpointsOf,
  promoteTo,
  rollBack,
} from './commands/channels.js';
import { demoShardBytes, inspectCommand, packCommand, verifyCommand } from './commands/data.js';
import { diagnose, diagnosisText } from './commands/doctor.js';
import {
  graphDot,
  graphSummary,
  profile,
  profileText,
  programNames,
  summaryText,
  writeOnnx,
} from './commands/engine.js';
import { exportWeights } from './commands/export.js';
import { readRunFile } from './commands/run-file.js';
import { drawSamples, restoreImage } from './commands/sample.js';
import { up } from './commands/up.js';
import { exitCodes, printError, printResult } from './terminal/output.js';

const wholeNumber =
  (least: number, most = Number.MAX_SAFE_INTEGER) =>
  (text: string): number => {
    const value = Number(text);
    if (text.trim() === '' || !Number.isSafeInteger(value) || value < least || value > most)
      throw new InvalidArgumentError(
        `It must be a whole number from ${least} ${most < Number.MAX_SAFE_INTEGER ? `to ${most}` : 'on'}.`,
      );
    return value;
  };
const time = (text: string): number => {
  const value = Date.parse(text);
  if (Number.isNaN(value)) throw new InvalidArgumentError('It must be a time like 2026-01-31T12:00:00Z.');
  return value;
};

/** Of the package; this module runs from its folder and from `dist/`. */
function version(): string {
  const file = ['./package.json', '../package.json'].map((path) => new URL(path, import.meta.url)).find(existsSync)!;
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}

const program = new Command('thaw')
  .description('Distributed training and serving of Cold Diffusion models.')
  .version(version(), '--version', 'print the version')
  .showHelpAfterError()
  .configureHelp({ sortSubcommands: false })
  .exitOverride((error) => process.exit(error.exitCode === 0 ? exitCodes.ok : exitCodes.usage))
  .addHelpText(
    'after',
    `\nExit codes: 0 done, 1 failed, 2 wrong usage, 3 refused (the message says why), 4 cluster or service not reachable.`,
  );

/** A subcommand with the options that all have, and one way to print results and errors. */
function command(parent: Command, usage: string, description: string, examples: readonly string[]): Command {
  return parent
    .command(usage)
    .description(description)
    .option('--json', 'print the result as one line of JSON', false)
    .addHelpText('after', `\nExamples:\n${examples.map((example) => `  $ ${example}`).join('\n')}`);
}
const withDir = (cmd: Command): Command =>
  cmd.option('--dir <folder>', 'folder of the local cluster', defaultClusterDir);
const withStore = (cmd: Command): Command =>
  withDir(cmd).option(
    '--store <url>',
    'object store (file:///folder or s3://bucket/prefix); that of --dir unless given',
  );

interface Common {
  json: boolean;
  dir: string;
  store?: string;
}
const storeOf = ({ store, dir }: Common): string => store ?? storeUrlOf(dir);
/** The store of a command that only reads: a folder that is not there is not made by looking into it. */
function storeToRead(options: Common): string {
  if (options.store === undefined && !existsSync(new URL(storeUrlOf(options.dir))))
    throw new ThawError('THAW_CLUSTER_NOT_FOUND', `The folder ${options.dir} holds no object store.`, {
      cure: 'Name the folder of a cluster with --dir, or an object store with --store.',
    });
  return storeOf(options);
}

async function attempt(options: { json: boolean }, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    process.exitCode = printError(error, options.json);
  }
}

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
  .option('--engine <kind>', 'engine of trainers and samplers', 'auto')
  .addOption(
    new Option('--broker <kind>', 'message broker').choices(['auto', 'nats-server', 'embedded']).default('auto'),
  )
  .addOption(
    new Option('--log-level <level>', 'level of the log files')
      .choices(['trace', 'debug', 'info', 'warn', 'error', 'fatal'])
      .default('info'),
  )
  .option('--exit', 'stop when the run is finished, and draw 16 samples', false)
  .action((options) => attempt(options, () => up(options)));

withDir(
  command(program, 'sample', 'Degrade held-out test images, chosen by the seed, and restore them.', [
    'thaw sample --count 4 --seed 7 --out out/',
    'thaw sample --mode generate --noise 0 --out out/',
  ]),
)
  .addOption(
    new Option('--mode <mode>', 'sample: restore degraded test images; generate: images from nothing')
      .choices(['sample', 'generate'])
      .default('sample'),
  )
  .option(
    '--noise <deviation>',
    'deviation of noise added to the start; generate: 0.002 for blur unless given; sample: taken off the result again',
    Number,
  )
  .option('--count <n>', 'images', wholeNumber(1), 4)
  .option('--seed <n>', 'equal seeds give equal bytes', wholeNumber(0), 0)
  .option('--out <folder>', 'folder for the PNG files', 'out')
  .option('--channel <name>', 'channel whose checkpoint is used; the samplers’ own unless given')
  .option('--checkpoint <step>', 'checkpoint instead of a channel', wholeNumber(0))
  .option('--sampler <algorithm>', 'algorithm2, algorithm1, direct, ddim (noise, animorphosis), or step')
  .action((options) =>
    attempt(options, async () => {
      const { count, seed, out, channel, sampler, checkpoint, mode, noise } = options;
      const drawn = await drawSamples(requireCluster(options.dir), {
        count,
        seed,
        out,
        channel,
        sampler,
        version: checkpoint,
        mode,
        noise,
      });
      printResult(drawn, options.json, () => `Step ${drawn.version}, seed ${drawn.seed}:\n${drawn.files.join('\n')}`);
    }),
  );

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
  .option('--checkpoint <step>', 'checkpoint instead of a channel', wholeNumber(0))
  .option('--sampler <algorithm>', 'algorithm2, algorithm1, direct, ddim (noise, animorphosis), or step')
  .option('--severity <s>', 'how far degraded the image is, 1..T; T unless given', wholeNumber(1))
  .option('--degrade', 'the image is clean: degrade it to the severity first')
  .action((image, options) =>
    attempt(options, async () => {
      const { out, channel, sampler, severity, degrade, checkpoint } = options;
      const result = await restoreImage(requireCluster(options.dir), image, {
        out,
        channel,
        sampler,
        severity,
        degrade,
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

const audit = program.command('audit').description('What a channel served, when, and whether its records are whole.');
withStore(
  command(audit, 'verify <channel>', 'Recompute the hash chain of a channel.', ['thaw audit verify stable']),
).action((channel, options) =>
  attempt(options, async () => {
    const report = await auditVerify(storeToRead(options), channel);
    printResult(report, options.json, () => JSON.stringify(report, undefined, 2));
    if (report.problems.length > 0) process.exitCode = exitCodes.failed;
  }),
);
withStore(command(audit, 'at', 'What a channel served at a time.', ['thaw audit at stable 2026-01-31T12:00:00Z']))
  .argument('<channel>', 'channel')
  .argument('<time>', 'time, ISO 8601', time)
  .action((channel, at, options) =>
    attempt(options, async () => {
      const record = (await auditAt(storeToRead(options), channel, at)) ?? null;
      printResult(record, options.json, () =>
        record === null ? 'Nothing had been promoted yet.' : JSON.stringify(record, undefined, 2),
      );
    }),
  );
withStore(command(audit, 'log <channel>', 'All records of a channel.', ['thaw audit log latest --json'])).action(
  (channel, options) =>
    attempt(options, async () => {
      const records = await auditLog(storeToRead(options), channel);
      printResult(records, options.json, () =>
        records
          .map((r) => `${r.seq}  ${new Date(r.timeMs).toISOString()}  ${r.action}  step ${r.step}  ${r.actor}`)
          .join('\n'),
      );
    }),
);

withStore(
  command(program, 'evaluate', 'Score a checkpoint on held-out images, with intervals and curves; needs no cluster.', [
    'thaw evaluate --run mnist-demo --count 256',
    'thaw evaluate --run mnist-demo --checkpoint 600 --sampler algorithm1 --calls 4 --out out/thin --json',
  ]),
)
  .requiredOption('--run <name>', 'run')
  .option('--checkpoint <step>', 'the newest unless given', wholeNumber(0))
  .addOption(new Option('--split <name>', 'split of the data set').choices(['test', 'train']).default('test'))
  .option('--count <n>', 'images, from the first of the split', wholeNumber(1), 256)
  .option('--metrics <list>', 'rmse, ssim, psnr, l1', 'rmse,ssim,psnr,l1')
  .addOption(
    new Option('--sampler <algorithm>', 'what is compared with the direct restoration')
      .choices(SamplingAlgorithmSchema.options)
      .default('algorithm2'),
  )
  .option('--calls <n>', 'network calls, spread over the severities; one for each unless given', wholeNumber(1))
  .option('--seed <n>', 'of random degradations and of the bootstrap', wholeNumber(0), 0)
  .option('--batch <n>', 'images in a network call', wholeNumber(1), 16)
  .option('--engine <kind>', 'engine', 'auto')
  .option('--out <path>', 'writes <path>.json and <path>.md')
  .action((options) =>
    attempt(options, async () => {
      const { evaluateCheckpoint } = await import('./commands/evaluate.js');
      const { report, text } = await evaluateCheckpoint({
        ...options,
        storeUrl: storeOf(options),
        step: options.checkpoint,
      });
      printResult(report, options.json, () => text);
    }),
  );

withStore(
  command(program, 'export', 'Write weights as safetensors with the official parameter names.', [
    'thaw export --run mnist-demo --out weights.safetensors',
  ]),
)
  .requiredOption('--run <name>', 'run')
  .option('--checkpoint <step>', 'the newest unless given', wholeNumber(0))
  .addOption(
    new Option('--format <format>', 'official names and shapes, for PyTorch')
      .choices(['pytorch-safetensors'])
      .default('pytorch-safetensors'),
  )
  .option('--ema', 'the moving average instead of the weights', false)
  .option('--out <file>', 'file to write', 'weights.safetensors')
  .action((options) =>
    attempt(options, async () => {
      const exported = await exportWeights({
        storeUrl: storeToRead(options),
        run: options.run,
        step: options.checkpoint,
        group: options.ema ? 'ema' : 'weights',
        out: options.out,
      });
      printResult(
        exported,
        options.json,
        () => `${exported.file}: ${exported.tensors} tensors of step ${exported.step}, SHA-256 ${exported.sha256}`,
      );
    }),
  );

withStore(
  command(program, 'import <weights>', 'Make weights with the official parameter names step 0 of a new run.', [
    'thaw import weights.safetensors --config examples/celeba-blur.yaml --name celeba-official',
  ]),
)
  .requiredOption('--config <file>', 'run file (YAML) of the network that the weights are for')
  .option('--name <run>', 'name of the run; that of the run file unless given')
  .option('--steps <n>', 'optimizer steps of the run', wholeNumber(1))
  .option('--seed <n>', 'seed of the run', wholeNumber(0))
  .action((file, options) =>
    attempt(options, async () => {
      const { config, name, steps, seed } = options;
      const { importWeights } = await import('./commands/import.js');
      const imported = await importWeights({
        storeUrl: storeOf(options),
        file,
        run: readRunFile(config, { name, steps, seed }),
        nowMs: Date.now(),
      });
      printResult(
        imported,
        options.json,
        () => `Run ${imported.run}: step 0 has the ${imported.tensors} tensors of ${file}, SHA-256 ${imported.sha256}.`,
      );
    }),
  );

withStore(
  command(
    program,
    'fit-prior',
    'Fit what generation by blur or super-resolution starts from, and store it with the run.',
    [
      'thaw fit-prior --run celeba-blur-generation',
      'thaw fit-prior --run celeba-super-resolution-generation --clusters 10',
      'thaw fit-prior --run celeba-blur --edge 4 --severity 150',
    ],
  ),
)
  .requiredOption('--run <name>', 'run')
  .option('--clusters <n>', 'components of the Gaussian mixture', wholeNumber(1), 1)
  .option('--seed <n>', 'of the start of the fit', wholeNumber(0), 0)
  .option(
    '--edge <pixels>',
    'edge to which images are shrunk; 1 for blurs that end in one colour, what is left for super-resolution, unless given',
    wholeNumber(1),
  )
  .option('--severity <s>', 'severity to which images are degraded first; the last unless given', wholeNumber(1))
  .action((options) =>
    attempt(options, async () => {
      const { fitPrior } = await import('./commands/fit-prior.js');
      const { run, clusters, seed, edge, severity } = options;
      const prior = await fitPrior({ storeUrl: storeOf(options), run, clusters, seed, edge, severity });
      printResult(
        prior,
        options.json,
        () =>
          `The prior of ${prior.run}: ${clusters} component(s) on ${prior.images} images of ${prior.edge} x ${prior.edge} pixels, mean log-likelihood ${prior.logLikelihood.toFixed(3)}.`,
      );
    }),
  );

const data = program.command('data').description('Data sets: packed once into shards, read by lease.');
withStore(
  command(data, 'pack <source>', 'Pack `mnist`, `cifar10:<folder>`, a folder of images, or an IDX file into shards.', [
    'thaw data pack mnist --name mnist --method pad --size 32',
    'thaw data pack cifar10:cifar-10-batches-bin --name cifar10',
    'thaw data pack faces/ --name celeba --method pillow-bilinear --size 143 --store s3://bucket/thaw',
  ]),
)
  .requiredOption('--name <name>', 'name of the data set')
  .addOption(
    new Option('--method <method>', 'how images get their stored size')
      .choices(['none', 'pad', 'pillow-bilinear', 'pillow-bilinear-crop'])
      .default('none'),
  )
  .option('--size <pixels>', 'stored edge', wholeNumber(1))
  .option('--channels <n>', '1 or 3; as the source unless given', wholeNumber(1))
  .option('--test <source>', 'folder or IDX file of the test split')
  .option('--labels <file>', 'IDX file of labels')
  .option('--test-labels <file>', 'IDX file of the test labels')
  .option('--shard-bytes <n>', 'bytes of images in a shard', wholeNumber(1), demoShardBytes)
  .option('--limit <n>', 'only the first images of each split', wholeNumber(1))
  .action((source, options) =>
    attempt(options, async () => {
      const result = await packCommand({ ...options, source, storeUrl: storeOf(options) });
      printResult(result, options.json, () => JSON.stringify(result, undefined, 2));
    }),
  );
withStore(command(data, 'inspect <name>', 'What a data set holds.', ['thaw data inspect mnist'])).action(
  (name, options) =>
    attempt(options, async () => {
      const result = await inspectCommand(storeToRead(options), name);
      printResult(result, options.json, () => JSON.stringify(result, undefined, 2));
    }),
);
withStore(
  command(data, 'verify <name>', 'Read every shard and check every digest.', ['thaw data verify mnist']),
).action((name, options) =>
  attempt(options, async () => {
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
      const { createRunFromFile } = await import('./commands/create-run.js');
      const { seed, steps } = options;
      const stored = await createRunFromFile(storeOf(options), file, { seed, steps });
      printResult(
        { run: stored.config.name, steps: stored.targetSteps, configSha256: stored.configSha256 },
        options.json,
        () => `Stored run ${stored.config.name}, ${stored.targetSteps} steps.`,
      );
    }),
  );

const engine = program.command('engine').description('What the engine makes of a run, and what it costs.');
const withProgram = (cmd: Command): Command =>
  cmd
    .addOption(new Option('--program <name>', 'program of the run').choices(programNames).default('training'))
    .option('--batch <n>', 'images in a call; the micro-batch of the run unless given', wholeNumber(1));
withProgram(
  command(engine, 'graph <run-file>', 'The graph of a program: a summary, Graphviz, or the ONNX file.', [
    'thaw engine graph examples/mnist-demo.yaml',
    'thaw engine graph examples/mnist-demo.yaml --dot --out training.dot',
    'thaw engine graph examples/celeba-blur.yaml --onnx --out training.onnx',
  ]),
)
  .option('--summary', 'operators, rewrites, how each convolution is computed (the default)')
  .addOption(new Option('--dot', 'the simplified graph for Graphviz').conflicts(['summary', 'onnx']))
  .addOption(new Option('--onnx', 'the lowered graph as an ONNX file').conflicts('summary'))
  .option('--out <file>', 'file to write; with --onnx <program>.onnx unless given')
  .action((file, options) =>
    attempt(options, async () => {
      const choice = { file, program: options.program, batch: options.batch };
      if (options.onnx === true) {
        const written = await writeOnnx(choice, options.out ?? `${options.program}.onnx`);
        printResult(written, options.json, () => `${written.file}: ${written.bytes} bytes, SHA-256 ${written.sha256}`);
        return;
      }
      const [result, text] =
        options.dot === true
          ? [{ dot: graphDot(choice) }, graphDot(choice)]
          : await graphSummary(choice).then((summary) => [summary, summaryText(summary)] as const);
      if (options.out === undefined) printResult(result, options.json, () => text);
      else {
        writeFileSync(options.out, options.json ? JSON.stringify(result) : text);
        printResult({ file: options.out }, options.json, () => `Written to ${options.out}.`);
      }
    }),
  );
withProgram(
  command(engine, 'profile <run-file>', 'Time per operator, tfjs kernel and node on this machine’s processor.', [
    'thaw engine profile examples/mnist-demo.yaml',
    'thaw engine profile examples/mnist-demo.yaml --program restoration --batch 8 --json',
  ]),
)
  .option('--calls <n>', 'calls whose median counts', wholeNumber(1), 10)
  .option('--rows <n>', 'rows of each table', wholeNumber(1), 15)
  .action((file, options) =>
    attempt(options, async () => {
      const profiled = await profile({ file, program: options.program, batch: options.batch }, options.calls);
      printResult(profiled, options.json, () => profileText(profiled, options.rows));
    }),
  );

withDir(
  command(program, 'doctor', 'What this machine has, what is missing, and why.', ['thaw doctor', 'thaw doctor --json']),
).action((options) =>
  attempt(options, async () => {
    const diagnosis = await diagnose(options.dir);
    printResult(diagnosis, options.json, () => diagnosisText(diagnosis));
  }),
);

for (const service of ['coordinator', 'trainer', 'sampler'] as const)
  program
    .command(service)
    .description(`Run the ${service} in this process, configured by THAW_* variables.`)
    .addHelpText('after', `\nExamples:\n  $ THAW_STORE_URL=... THAW_NATS_URL=... THAW_RUN=... thaw ${service}`)
    .action(async () => {
      await import(new URL('./main.js', import.meta.resolve(`@thaw/${service}`)).href);
    });

await program.parseAsync();
