// Where results of measurements go: bench/results/<name>-<date>.json, with machine, versions and command.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const folder = join(dirname(fileURLToPath(import.meta.url)), 'results');

/** The machine, as far as its name says nothing about where it stands. */
export const machine = () => ({
  cpu: cpus()[0]?.model ?? 'unknown',
  cores: cpus().length,
  memoryBytes: totalmem(),
  loadAverage: loadavg(),
  platform: `${process.platform}-${process.arch}`,
  node: process.versions.node,
  onnxruntime: JSON.parse(
    readFileSync(new URL('../node_modules/onnxruntime-node/package.json', import.meta.url), 'utf8'),
  ).version,
});

/** Writes a result and returns it as one object; `before` is what {@link machine} said when the measurement began. */
export function keep(name, before, result) {
  const date = new Date().toISOString();
  const command = ['npm run bench --', name, ...process.argv.slice(2)].join(' ');
  const entry = { bench: name, date, command, machine: before, loadAverageAtEnd: loadavg(), ...result };
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `${name}-${date.slice(0, 10)}.json`), `${JSON.stringify(entry, null, 2)}\n`);
  return entry;
}

/** `--name value` of the command line as a number. */
export function numberOption(name, fallback) {
  const at = process.argv.indexOf(`--${name}`);
  if (at < 0) return fallback;
  const value = Number(process.argv[at + 1]);
  if (!Number.isFinite(value) || value < 0) {
    console.error(`--${name} wants a number; it was given ${process.argv[at + 1] ?? 'nothing'}.`);
    process.exit(2);
  }
  return value;
}
export const wantsJson = () => process.argv.includes('--json');
