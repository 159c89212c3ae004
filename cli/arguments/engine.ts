/** Commands on the engine and on this machine. */
import { writeFileSync } from 'node:fs';
import { Option, type Command } from 'commander';
import { programNames } from '../commands/program-name.js';
import { printResult } from '../terminal/output.js';
import { attempt, command, recomputeOption, wholeNumber, withDir } from './subcommand.js';

export function addEngineCommands(program: Command): void {
  const engine = program.command('engine').description('What the engine makes of a run, and what it costs.');
  const withProgram = (cmd: Command): Command =>
    cmd
      .addOption(new Option('--program <name>', 'program of the run').choices(programNames).default('training'))
      .option('--batch <n>', 'images in a call; the micro-batch of the run unless given', wholeNumber(1))
      .addOption(recomputeOption('what a training program computes again'));
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
        const { graphDot, graphSummary, summaryText, writeOnnx } = await import('../commands/engine.js');
        const choice = { file, program: options.program, batch: options.batch, recompute: options.recompute };
        if (options.onnx === true) {
          const written = await writeOnnx(choice, options.out ?? `${options.program}.onnx`);
          printResult(
            written,
            options.json,
            () => `${written.file}: ${written.bytes} bytes, SHA-256 ${written.sha256}`,
          );
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
        const { profile, profileText } = await import('../commands/engine.js');
        const { program: name, batch, recompute } = options;
        const profiled = await profile({ file, program: name, batch, recompute }, options.calls);
        printResult(profiled, options.json, () => profileText(profiled, options.rows));
      }),
    );

  withDir(
    command(program, 'doctor', 'What this machine has, what is missing, and why.', [
      'thaw doctor',
      'thaw doctor --json',
      'thaw doctor --model examples/celeba-blur.yaml',
    ]),
  )
    .option('--model <run-file>', 'what the run’s training step takes here, and the largest micro-batch that fits')
    .option('--memory <mebibytes>', 'memory that a trainer may take; what is free now unless given', wholeNumber(64))
    .option('--seconds <n>', 'begin no further trial after so long', wholeNumber(1), 120)
    .option('--max-batch <n>', 'look no further', wholeNumber(2, 65_536), 1024)
    .addOption(recomputeOption('with --model: only this setting; nothing and everything unless given'))
    .action((options) =>
      attempt(options, async () => {
        if (options.model !== undefined) {
          const { diagnoseModel, modelText } = await import('../commands/doctor-model.js');
          const { model: file, memory, seconds, maxBatch: greatest, recompute } = options;
          const limitBytes = memory === undefined ? undefined : memory * 2 ** 20;
          const model = await diagnoseModel({
            file,
            seconds,
            greatest,
            ...(recompute !== undefined && { recompute: [recompute] }),
            ...(limitBytes !== undefined && { limitBytes }),
          });
          printResult(model, options.json, () => modelText(model));
          return;
        }
        const { diagnose, diagnosisText } = await import('../commands/doctor.js');
        const diagnosis = await diagnose(options.dir);
        printResult(diagnosis, options.json, () => diagnosisText(diagnosis));
      }),
    );
}
