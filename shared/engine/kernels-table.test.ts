import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { kernelsTable } from './kernels-table.js';

it('docs/engine-kernels.md holds the table of the registry', () => {
  const page = readFileSync(new URL('../../docs/engine-kernels.md', import.meta.url), 'utf8');
  expect(page, 'run `npm run docs`').toContain(`\n\n${kernelsTable()}\n`);
  expect(page.match(/^\| family/gm)).toHaveLength(1);
});
