// `npm run docs`: writes the pages that are made from code. Tests compare them.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ensureBuilt, ensureInstalled, root } from './prepare.mjs';

ensureInstalled();
ensureBuilt();
const { errorsMarkdown } = await import('@thaw/shared/protocol');
writeFileSync(join(root, 'docs', 'errors.md'), errorsMarkdown());
