// `npm run golden -- [folder] [--json]`: computes every case of a folder of golden vectors (test/golden unless given) and compares it.
// With --help it says so. One line per case and per family goes to stderr; the last line of stdout is {passed, failed, unknown, worst} with --json, a sentence without.
// Ends with 0 when all cases passed, 1 when one failed or is unknown, 2 when the folder cannot be read.
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { ensureInstalled, root } from './prepare.mjs';

const args = process.argv.slice(2);
const asJson = args.includes('--json');
if (args.includes('--help') || args.includes('-h')) {
  console.log(`npm run golden -- [folder] [--json]
Computes every case of a folder of golden vectors (index.json and safetensors files; test/golden unless given) and compares it.
The last line of stdout is a sentence, with --json {passed, failed: [ids], unknown: [ids], worst: {id, output, error, tolerance}}.
Exit codes: 0 all cases passed, 1 one failed or is unknown, 2 the folder cannot be read.`);
  process.exit(0);
}
const [given, ...more] = args.filter((arg) => arg !== '--json');
const folder = given === undefined ? join(root, 'test', 'golden') : resolve(process.env.INIT_CWD ?? '.', given);
const misuse =
  more.length > 0 ? `unknown argument ${more[0]}` : given?.startsWith('-') ? `unknown option ${given}` : '';
if (misuse !== '' || !existsSync(join(folder, 'index.json'))) {
  console.error(misuse || `${folder} has no index.json; give a folder of golden vectors.`);
  process.exit(2);
}
ensureInstalled();

// The runners are TypeScript beside the tests; they are loaded as the tests load them.
const { createViteServer } = await import('vitest/node');
const conditions = ['thaw-source', 'node', 'import', 'default'];
const server = await createViteServer({
  root,
  configFile: false,
  logLevel: 'error',
  server: { middlewareMode: true, watch: null, hmr: false, ws: false },
  optimizeDeps: { noDiscovery: true, include: [] },
  resolve: { conditions },
  ssr: { resolve: { conditions } },
});
let summary;
try {
  const { openEagerBackend } = await server.ssrLoadModule('/test/golden/eager-backend.ts');
  const { checkFolder } = await server.ssrLoadModule('/test/golden/check.ts');
  await openEagerBackend();
  summary = await checkFolder(folder, (line) => console.error(line));
} catch (error) {
  if (error?.name !== 'UnreadableIndexError') throw error;
  console.error(error.message);
  process.exitCode = 2;
} finally {
  await server.close();
}
if (summary === undefined) process.exit(2);
const { passed, failed, unknown, worst } = summary;
const deviation = worst
  ? `; nearest to its limit: ${worst.output} of ${worst.id}, ${worst.error} of ${worst.tolerance}`
  : '';
console.log(
  asJson
    ? JSON.stringify({ passed, failed, unknown, worst: worst ?? null })
    : `${passed} passed, ${failed.length} failed, ${unknown.length} unknown${deviation}`,
);
process.exit(failed.length + unknown.length === 0 ? 0 : 1);
