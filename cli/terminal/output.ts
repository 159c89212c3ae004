/** Results go to stdout, everything else to stderr; errors end the process with a documented code. */
import { ThawError } from '@thaw/shared/protocol';
import { fileError } from './output-files.js';

/** Exit codes of the `thaw` command (README). */
export const exitCodes = { ok: 0, failed: 1, usage: 2, refused: 3, unreachable: 4 } as const;

export function printResult(value: unknown, asJson: boolean, text: () => string): void {
  process.stdout.write((asJson ? JSON.stringify(value) : text()) + '\n');
}

/** Prints an error as a sentence (or as JSON) and returns the exit code. Never a stack trace, unless it is our own defect. */
export function printError(thrown: unknown, asJson: boolean): number {
  const error = fileError(thrown) ?? thrown;
  if (error instanceof ThawError) {
    if (asJson) process.stdout.write(JSON.stringify({ error: error.toBody() }) + '\n');
    process.stderr.write(`${error.code}: ${error.message}\n  ${error.cure}\n`);
    if (error.code === 'THAW_USAGE_INVALID') return exitCodes.usage;
    if (error.code === 'THAW_SERVICE_UNREACHABLE' || error.code === 'THAW_CLUSTER_NOT_FOUND')
      return exitCodes.unreachable;
    return error.httpStatus >= 400 && error.httpStatus < 500 ? exitCodes.refused : exitCodes.failed;
  }
  process.stderr.write(`THAW_INTERNAL: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  return exitCodes.failed;
}

/** Left-aligned columns, two blanks between them. Pure. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) row.forEach((cell, i) => (widths[i] = Math.max(widths[i] ?? 0, cell.length)));
  return rows
    .map((row) =>
      row
        .map((cell, i) => cell.padEnd(widths[i]))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** Bytes for people, in KiB or MiB. */
export const mebibytes = (bytes: number): string =>
  bytes < 2 ** 20 ? `${Math.round(bytes / 1024)} KiB` : `${(bytes / 2 ** 20).toFixed(bytes < 2 ** 24 ? 1 : 0)} MiB`;
