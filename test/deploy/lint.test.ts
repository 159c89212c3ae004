/** The import rules bite: each kind of forbidden import, put into a temporary copy, makes the check fail. */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';

const root = fileURLToPath(new URL('../../', import.meta.url));
let copy: string;

beforeAll(() => {
  copy = mkdtempSync(join(tmpdir(), 'thaw-lint-'));
  for (const entry of ['shared', 'services', 'cli', 'package.json', 'tsconfig.base.json', 'tsconfig.test.json', '.dependency-cruiser.cjs', 'eslint.config.js'])
    cpSync(join(root, entry), join(copy, entry), {
      recursive: true,
      filter: (source) => !/(^|\/)(dist|node_modules)(\/|$)/.test(source.slice(root.length)),
    });
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
});
afterAll(() => rmSync(copy, { recursive: true, force: true }));

function cruise(): { status: number | null; modules: number; rules: string[] } {
  const script = join(root, 'node_modules', 'dependency-cruiser', 'bin', 'dependency-cruise.mjs');
  const result = spawnSync(process.execPath, [script, '--config', '.dependency-cruiser.cjs', '--output-type', 'json', 'shared', 'services', 'cli'], {
    cwd: copy,
    encoding: 'utf8',
    maxBuffer: 256 << 20,
  });
  const { modules, summary } = JSON.parse(result.stdout) as { modules: { source: string }[]; summary: { violations: { rule: { name: string } }[]; error: number } };
  const own = modules.filter(({ source }) => !source.includes('node_modules') && source.endsWith('.ts'));
  return { status: summary.error, modules: own.length, rules: [...new Set(summary.violations.map(({ rule }) => rule.name))].sort() };
}

const forbidden: [rule: string, file: string, text: string][] = [
  ['coordinator-without-tensors', 'services/coordinator/views/trial.ts', "import '@tensorflow/tfjs-core';\n"],
  ['coordinator-without-tensors', 'services/coordinator/views/trial.ts', "import '../../../shared/model/index.js';\n"],
  ['nats-only-in-transport', 'shared/runtime/trial.ts', "import 'nats';\n"],
  ['io-at-the-edge', 'shared/data/trial.ts', "import 'node:fs';\n"],
  ['shared-knows-no-service', 'shared/runtime/trial.ts', "import '../../services/trainer/index.js';\n"],
  ['services-stand-alone', 'services/trainer/trial.ts', "import '../sampler/index.js';\n"],
  ['through-the-door', 'services/trainer/trial.ts', "import '../../shared/runtime/clock.js';\n"],
];

test('the tree as it is passes, and more than zero modules were looked at', () => {
  const result = cruise();
  expect(result.rules).toEqual([]);
  expect(result.modules).toBeGreaterThan(100);
});

for (const [rule, file, text] of forbidden)
  test(`${rule}: ${text.trim()} in ${file} is refused`, () => {
    writeFileSync(join(copy, file), text);
    try {
      expect(cruise().rules).toContain(rule);
    } finally {
      rmSync(join(copy, file));
    }
  });

test('a clock outside the edges is refused', () => {
  writeFileSync(join(copy, 'shared/storage/trial.ts'), 'export const now = () => Date.now();\n');
  const eslint = spawnSync(process.execPath, [join(root, 'node_modules', 'eslint', 'bin', 'eslint.js'), 'shared/storage/trial.ts'], { cwd: copy, encoding: 'utf8' });
  rmSync(join(copy, 'shared/storage/trial.ts'));
  expect(eslint.status).toBe(1);
  expect(eslint.stdout).toContain('Clock port');
});
