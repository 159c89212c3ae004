/** What the subcommands share: how numbers and times are read, where the cluster and the store are, how results and errors are printed. */
import { existsSync } from 'node:fs';
import { RecomputeTextSchema, ThawError } from '@thaw/shared/protocol';
import { InvalidArgumentError, Option, type Command } from 'commander';
import { defaultClusterDir, storeUrlOf } from '../cluster/cluster-file.js';
import { printError } from '../terminal/output.js';

export const wholeNumber =
  (least: number, most = Number.MAX_SAFE_INTEGER) =>
  (text: string): number => {
    const value = Number(text);
    if (text.trim() === '' || !Number.isSafeInteger(value) || value < least || value > most)
      throw new InvalidArgumentError(
        `It must be a whole number from ${least} ${most < Number.MAX_SAFE_INTEGER ? `to ${most}` : 'on'}.`,
      );
    return value;
  };
/** A number of an interval. */
export const numberFrom =
  (least: number, most: number) =>
  (text: string): number => {
    const value = Number(text);
    if (text.trim() === '' || !(value >= least && value <= most))
      throw new InvalidArgumentError(`It must be a number from ${least} to ${most}.`);
    return value;
  };
export const time = (text: string): number => {
  const value = Date.parse(text);
  if (Number.isNaN(value)) throw new InvalidArgumentError('It must be a time like 2026-01-31T12:00:00Z.');
  return value;
};

/** The head of a chain: the hash of a record, with or without its number. */
export const anchor = (text: string): { seq: number | undefined; sha256: string } => {
  const match = /^(?:(\d{1,10}):)?([0-9a-f]{64})$/.exec(text);
  if (match === null)
    throw new InvalidArgumentError('It must be a SHA-256 of 64 hexadecimal digits, or <seq>:<sha256>.');
  return { seq: match[1] === undefined ? undefined : Number(match[1]), sha256: match[2]! };
};

/** Activation recomputation, as a trainer's configuration writes it. */
export const recomputeOption = (what: string): Option =>
  new Option(
    '--recompute <levels>',
    `${what}: none, all, or levels of the network like 0,1, 0 being the finest; less memory, more time, the same bits`,
  ).argParser((text: string): string => {
    if (!RecomputeTextSchema.safeParse(text).success)
      throw new InvalidArgumentError('It must be none, all, or levels like 0,1.');
    return text;
  });

/** A subcommand with the options that all have, and one way to print results and errors. */
export function command(parent: Command, usage: string, description: string, examples: readonly string[]): Command {
  return parent
    .command(usage)
    .description(description)
    .option('--json', 'print the result as one line of JSON', false)
    .addHelpText('after', `\nExamples:\n${examples.map((example) => `  $ ${example}`).join('\n')}`);
}
export const withDir = (cmd: Command): Command =>
  cmd.option('--dir <folder>', 'folder of the local cluster', defaultClusterDir);
export const withStore = (cmd: Command): Command =>
  withDir(cmd).option(
    '--store <url>',
    'object store (file:///folder or s3://bucket/prefix); that of --dir unless given',
  );

interface Common {
  json: boolean;
  dir: string;
  store?: string;
}
export const storeOf = ({ store, dir }: Common): string => store ?? storeUrlOf(dir);
/** The store of a command that only reads: a folder that is not there is not made by looking into it. */
export function storeToRead(options: Common): string {
  if (options.store === undefined && !existsSync(new URL(storeUrlOf(options.dir))))
    throw new ThawError('THAW_CLUSTER_NOT_FOUND', `The folder ${options.dir} holds no object store.`, {
      cure: 'Name the folder of a cluster with --dir, or an object store with --store.',
    });
  return storeOf(options);
}

/** Runs a subcommand; what it throws becomes a sentence and an exit code. */
export async function attempt(options: { json: boolean }, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    process.exitCode = printError(error, options.json);
  }
}
