// `npm run docs`: writes the pages, and the table of docs/engine-kernels.md, that are made from code. Tests compare them.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ensureBuilt, ensureInstalled, root } from './prepare.mjs';

ensureInstalled();
ensureBuilt();
const { errorsMarkdown } = await import('@thaw/shared/protocol');
writeFileSync(join(root, 'docs', 'errors.md'), errorsMarkdown());

const { kernelsTable } = await import('@thaw/shared/engine');
const kernels = join(root, 'docs', 'engine-kernels.md');
const [before, ...rest] = readFileSync(kernels, 'utf8').split(/^(?=\| family )/m);
const after = rest.join('').replace(/^(?:\|.*\n)+/, '');
writeFileSync(kernels, before + kernelsTable() + after);
