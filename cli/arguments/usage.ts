/** What is said of arguments that cannot be used: a sentence and the help, or with `--json` one line of JSON. */
import { ThawError } from '@thaw/shared/protocol';
import type { Command, CommanderError } from 'commander';
import { exitCodes, printError } from '../terminal/output.js';

/**
 * Makes `program` answer wrong usage with exit code 2. Applies to the subcommands made afterwards.
 * @param json whether the caller reads JSON: known before the arguments are understood, since they may not be
 */
export function answerWrongUsage(program: Command, json: boolean): void {
  program.showHelpAfterError(!json).exitOverride((error) => process.exit(exitCodeOf(error, json)));
  if (json) program.configureOutput({ outputError: () => undefined });
}

function exitCodeOf(error: CommanderError, json: boolean): number {
  if (error.exitCode === 0) return exitCodes.ok;
  if (json) {
    const problem = error.message.replace(/^error: /, '').replace(/[^.]$/, '$&.');
    printError(new ThawError('THAW_USAGE_INVALID', problem[0]!.toUpperCase() + problem.slice(1)), true);
  }
  return exitCodes.usage;
}
