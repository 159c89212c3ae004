/** The `thaw` command. Its subcommands are in `arguments/`, what they do in `commands/`. */
import { existsSync, readFileSync } from 'node:fs';
import { Command } from 'commander';
import {
  addAuditCommands,
  addClusterCommands,
  addDataCommands,
  addEngineCommands,
  addEvaluationCommands,
  addJobCommands,
  addServiceCommands,
  addWeightsCommands,
  answerWrongUsage,
} from './arguments/index.js';

/** Of the package; this module runs from its folder and from `dist/`. */
function version(): string {
  const file = ['./package.json', '../package.json'].map((path) => new URL(path, import.meta.url)).find(existsSync)!;
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}

const program = new Command('thaw')
  .description('Distributed training and serving of Cold Diffusion models.')
  .version(version(), '--version', 'print the version')
  .configureHelp({ sortSubcommands: false })
  .addHelpText(
    'after',
    `\nExit codes: 0 done, 1 failed, 2 wrong usage, 3 refused (the message says why), 4 cluster or service not reachable.`,
  );
answerWrongUsage(program, process.argv.includes('--json'));
addClusterCommands(program);
addAuditCommands(program);
addEvaluationCommands(program);
addWeightsCommands(program);
addDataCommands(program);
addJobCommands(program);
addEngineCommands(program);
addServiceCommands(program);

await program.parseAsync();
