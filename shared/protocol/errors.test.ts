import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { errorRegistry, ThawError } from './errors.js';
import { errorsMarkdown } from './errors-table.js';

test('docs/errors.md says what the registry says', () => {
  const written = readFileSync(new URL('../../docs/errors.md', import.meta.url), 'utf8');
  expect(written, 'run `npm run docs`').toBe(errorsMarkdown());
});

test('every code has a status, a sentence and a cure', () => {
  for (const [code, { httpStatus, meaning, cure }] of Object.entries(errorRegistry)) {
    expect(code).toMatch(/^THAW_[A-Z0-9_]+$/);
    expect(httpStatus).toBeGreaterThanOrEqual(400);
    expect(meaning, code).toMatch(/^[A-Z].*\.$/);
    expect(cure, code).toMatch(/^[A-Z].*\.$/);
  }
});

test('an error shows a client its code, message and cure, and nothing of its cause', () => {
  const error = new ThawError('THAW_DATA_INVALID', 'The file is empty.', {
    cause: new Error('secret'),
    details: { name: 'a' },
  });
  expect(error.toBody()).toEqual({
    code: 'THAW_DATA_INVALID',
    message: 'The file is empty.',
    cure: errorRegistry.THAW_DATA_INVALID.cure,
    details: { name: 'a' },
  });
});
