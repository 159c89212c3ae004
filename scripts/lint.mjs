// `npm run lint`: formatting, ESLint, and the import directions of docs/architecture.md (dependency-cruiser).
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { root } from './prepare.mjs';

const bin = (...path) => join(root, 'node_modules', ...path);
const folder = process.argv[2] ?? root;
const steps = [
  ['format', [bin('prettier', 'bin', 'prettier.cjs'), '--check', '--log-level=warn', '.']],
  ['eslint', [bin('eslint', 'bin', 'eslint.js'), '--max-warnings=0', '.']],
  [
    'imports',
    [
      bin('dependency-cruiser', 'bin', 'dependency-cruise.mjs'),
      '--config',
      '.dependency-cruiser.cjs',
      'shared',
      'services',
      'cli',
    ],
  ],
];
let failed = false;
for (const [name, args] of steps) {
  console.error(`lint: ${name}`);
  const { status } = spawnSync(process.execPath, args, { cwd: folder, stdio: 'inherit' });
  if (status !== 0) {
    failed = true;
    console.error(`lint: ${name} found problems`);
  }
}
process.exit(failed ? 1 : 0);
