// `npm run bench -- <name> [--json] [options]`: builds what is missing and runs bench/<name>.mjs. Without a name: says what there is.
// A measurement is a file here whose comment carries the line `npm run bench -- <name> ...`; other files are parts of them.
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ensureBuilt, ensureInstalled } from '../scripts/prepare.mjs';

const folder = dirname(fileURLToPath(import.meta.url));
const [name, ...rest] = process.argv.slice(2);

/** What each measurement says of itself: the comment at its head. */
const benches = new Map(
  readdirSync(folder)
    .filter((file) => file.endsWith('.mjs') && file !== 'run.mjs')
    .sort()
    .flatMap((file) => {
      const head = [];
      for (const line of readFileSync(join(folder, file), 'utf8').split('\n')) {
        if (!line.startsWith('//')) break;
        head.push(line.replace(/^\/\/ ?/, ''));
      }
      const bench = file.slice(0, -'.mjs'.length);
      return head.some((line) => line.startsWith(`npm run bench -- ${bench}`)) ? [[bench, head]] : [];
    }),
);

if (name === undefined || name === '--help' || name === '-h') {
  for (const [bench, head] of benches) console.log(`${bench}\n  ${head.join('\n  ')}\n`);
  console.log('Results are kept under bench/results, with machine and date.');
  process.exit(0);
}
if (!benches.has(name)) {
  console.error(`There is no measurement ${JSON.stringify(name)}. There are: ${[...benches.keys()].join(', ')}.`);
  process.exit(2);
}
if (rest.includes('--help') || rest.includes('-h')) {
  console.log(benches.get(name).join('\n'));
  process.exit(0);
}
ensureInstalled();
ensureBuilt();
const { status, error } = spawnSync(process.execPath, [join(folder, `${name}.mjs`), ...rest], { stdio: 'inherit' });
if (error !== undefined) console.error(`The measurement could not be started: ${error.message}`);
process.exit(status ?? 1);
