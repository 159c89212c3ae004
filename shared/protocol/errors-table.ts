/** `docs/errors.md`, made from the registry (`npm run docs`); a test compares the two. */
import { errorRegistry } from './errors.js';

export function errorsMarkdown(): string {
  const rows = Object.entries(errorRegistry)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([code, { httpStatus, meaning, cure }]) => `| \`${code}\` | ${httpStatus} | ${meaning} | ${cure} |`);
  return [
    '# Errors',
    '',
    'Every error that a person or a client can meet has a code, a sentence that says what was wrong, and a cure. HTTP answers carry',
    '`{code, message, cure, details?}` with the status given here; the `thaw` command prints the same on standard error. Made from',
    '`shared/protocol/errors.ts` by `npm run docs`.',
    '',
    '| code | HTTP | what it means | what to do |',
    '| --- | --- | --- | --- |',
    ...rows,
    '',
  ].join('\n');
}
