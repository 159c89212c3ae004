/** Where a file of the build is, for worker threads and child processes, which run compiled JavaScript only. */
import { existsSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { ThawError } from '@thaw/shared/protocol';

/**
 * The file `relativePath` (ending in .js) beside the module `moduleUrl` (its `import.meta.url`). When the module runs from
 * source (`<package>/x/y.ts`), the file is taken from the build (`<package>/dist/x/`).
 * @throws ThawError THAW_INTERNAL when the file does not exist, which from source means that nothing was built.
 */
export function builtFile(moduleUrl: string, relativePath: string): URL {
  const beside = fileURLToPath(new URL(relativePath, moduleUrl));
  const path = moduleUrl.endsWith('.ts') ? inBuild(beside) : beside;
  if (!existsSync(path))
    throw new ThawError('THAW_INTERNAL', `The built file ${path} does not exist.`, {
      cure: 'Build first: `npm run build`.',
    });
  return pathToFileURL(path);
}

function inBuild(source: string): string {
  const root = packageRoot(dirname(source));
  return join(root, 'dist', relative(root, source));
}

function packageRoot(folder: string): string {
  if (existsSync(join(folder, 'package.json'))) return folder;
  const parent = dirname(folder);
  if (parent === folder) throw new ThawError('THAW_INTERNAL', `No package.json above ${folder}.`);
  return packageRoot(parent);
}
