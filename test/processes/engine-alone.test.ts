/** The engine without the rest of Thaw: the documented example, run as a project of its own would. */
import { execFile } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
let project: string;
beforeAll(() => {
  project = mkdtempSync(join(tmpdir(), 'thaw-alone-'));
  // What `npm install <path>/shared @tensorflow/tfjs-core` leaves behind.
  for (const [name, target] of [
    ['@thaw/shared', 'shared'],
    ['@tensorflow/tfjs-core', 'node_modules/@tensorflow/tfjs-core'],
  ] as const) {
    const link = join(project, 'node_modules', name);
    mkdirSync(join(link, '..'), { recursive: true });
    symlinkSync(join(root, target), link);
  }
  copyFileSync(join(root, 'examples/engine/fit.mjs'), join(project, 'fit.mjs'));
});
afterAll(() => rmSync(project, { recursive: true, force: true }));

test('the example fits its curve in a project that has nothing but the engine', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, ['fit.mjs'], { cwd: project });
  const losses = [...stdout.matchAll(/^step \d+: loss (\S+)$/gm)].map(([, loss]) => Number(loss));
  expect(losses).toHaveLength(4);
  expect(losses[0]).toBeGreaterThan(0.1);
  expect(losses.at(-1)).toBeLessThan(0.01);
  const read = [...stdout.matchAll(/^f\((\S+)\) = (\S+), sin\(3 x\) = (\S+)$/gm)].map((match) =>
    match.slice(1).map(Number),
  );
  expect(read.map(([x]) => x)).toEqual([-0.5, 0, 0.5]);
  for (const [, fitted, sine] of read) expect(Math.abs(fitted! - sine!)).toBeLessThan(0.1);
});
