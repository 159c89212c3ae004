/** Commands on the weights of a run: export, import, and fit what generation starts from. */
import { Option, type Command } from 'commander';
import { printResult } from '../terminal/output.js';
import { attempt, command, storeOf, storeToRead, wholeNumber, withStore } from './subcommand.js';

export function addWeightsCommands(program: Command): void {
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
        const { exportWeights } = await import('../commands/export.js');
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
          () =>
            `${exported.file}: ${exported.tensors} tensors of step ${exported.step}, SHA-256 ${exported.sha256}${exported.prior === undefined ? '' : `, with the prior ${exported.prior}`}`,
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
    .option('--other-task', 'the weights may have been trained for another degradation or training target', false)
    .action((file, options) =>
      attempt(options, async () => {
        const { readRunFile } = await import('../commands/run-file.js');
        const { config, name, steps, seed, otherTask } = options;
        const { importWeights } = await import('../commands/import.js');
        const imported = await importWeights({
          storeUrl: storeOf(options),
          file,
          run: readRunFile(config, { name, steps, seed }),
          otherTask,
          nowMs: Date.now(),
        });
        printResult(
          imported,
          options.json,
          () =>
            `Run ${imported.run}: step 0 has the ${imported.tensors} tensors of ${file}, SHA-256 ${imported.sha256}${imported.prior === undefined ? '' : `, and its prior ${imported.prior}`}.`,
        );
      }),
    );

  withStore(
    command(
      program,
      'fit-prior',
      'Fit what generation by blur or super-resolution starts from, and store it with the run and its checkpoints.',
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
        const { fitPrior, fittedPriorText } = await import('../commands/fit-prior.js');
        const { run, clusters, seed, edge, severity } = options;
        const prior = await fitPrior({ storeUrl: storeOf(options), run, clusters, seed, edge, severity });
        printResult(prior, options.json, () => fittedPriorText(prior));
      }),
    );
}
