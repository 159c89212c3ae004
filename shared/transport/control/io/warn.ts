/** Where a link reports errors when nobody asked for them. */
export function warnOfError(error: unknown): void {
  process.emitWarning(error instanceof Error ? error : String(error));
}
