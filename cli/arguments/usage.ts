/** What is said of arguments that cannot be used: a coded sentence and the help, or with `--json` one line of JSON. */
import { ThawError } from '@thaw/shared/protocol';
import type { Command, CommanderError } from 'commander';
import { exitCodes, printError } from '../terminal/output.js';

/**
 * Makes `program` answer wrong usage with exit code 2. Applies to the subcommands made afterwards.
 * @param json whether the caller reads JSON: known before the arguments are understood, since they may not be
 */
export function answerWrongUsage(program: Command, json: boolean): void {
  program.showHelpAfterError(!json).exitOverride((error) => process.exit(exitCodeOf(error, json)));
  // With JSON it is told when the command ends.
  program.configureOutput({ outputError: json ? () => undefined : (text) => void printError(wrongUsage(text), false) });
}

function exitCodeOf(error: CommanderError, json: boolean): number {
  if (error.exitCode === 0) return exitCodes.ok;
  if (json) printError(wrongUsage(error.message), true);
  return exitCodes.usage;
}

function wrongUsage(text: string): ThawError {
  const problem = text
    .trim()
    .replace(/\s*\n\s*/g, ' ')
    .replace(/^error: /, '')
    .replace(/[^.]$/, '$&.');
  return new ThawError('THAW_USAGE_INVALID', problem[0]!.toUpperCase() + problem.slice(1));
}
