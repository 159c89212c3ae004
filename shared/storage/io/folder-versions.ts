/**
 * Versions of an object that is changed by compare-and-swap, without locks.
 *
 * The versions of key `k` are the entries `k~/0000000001`, `k~/0000000002`, ... The highest number is the object's present
 * content: a file, or a folder, which says that the object was deleted. An entry is made by link() or mkdir(), which fail if the
 * name is taken, so of the writers that want to follow version n exactly one makes n + 1. No file is ever changed once it has
 * its name: readers see whole versions. A writer that dies leaves either nothing or a whole version; nothing to wait for.
 *
 * Old versions are removed, but never the newest `keptVersions`. Hence the only danger: a writer that read version n and then
 * slept could make an entry n + 1 anew after the real one has been removed. It finds out: if n + 1 had been removed before, the
 * newest version is at least n + 1 + keptVersions when the writer looks again. If it is, the writer cannot tell and says
 * so (THAW_STORE_AMBIGUOUS); if it is not, its entry was the first of this number. Such a late entry is never the newest, so no
 * reader sees it, and the next writer removes it.
 */
import { join } from 'node:path';
import { ThawError } from '../../protocol/index.js';
import type { FolderFs } from './folder-fs.js';
import { systemCode } from './folder-fs.js';

/** How many of the newest versions stay. A writer must sleep through as many writes of others to be left in doubt. */
export const keptVersions = 64;
/** Ends the name of the folder that holds an object's versions; no key contains it. */
export const versionsSuffix = '~';

export interface Version {
  readonly number: number;
  /** The object does not exist in this version. */
  readonly deleted: boolean;
  readonly path: string;
}

export function versionPath(folder: string, number: number): string {
  return join(folder, String(number).padStart(10, '0'));
}

/** The newest version in the folder `k~`, or undefined if the object has never been changed by compare-and-swap. */
export async function newestVersion(fs: FolderFs, folder: string): Promise<Version | undefined> {
  return (await readVersions(fs, folder)).at(-1);
}

async function readVersions(fs: FolderFs, folder: string): Promise<Version[]> {
  let entries;
  try {
    entries = await fs.readFolder(folder);
  } catch (error) {
    if (systemCode(error) === 'ENOENT' || systemCode(error) === 'ENOTDIR') return [];
    throw error;
  }
  return entries
    .filter(({ name }) => /^\d{10}$/.test(name))
    .map(({ name, isFolder }) => ({ number: Number(name), deleted: isFolder, path: join(folder, name) }))
    .sort((a, b) => a.number - b.number);
}

/**
 * Makes version `number`, the successor of the one that the caller has read.
 * @param kept how many of the newest versions stay, see {@link keptVersions}
 * @param make makes the entry at the path it is given; fails with EEXIST if the name is taken
 * @returns false if somebody else made that version
 * @throws ThawError THAW_STORE_AMBIGUOUS
 */
export async function appendVersion(
  fs: FolderFs,
  folder: string,
  number: number,
  kept: number,
  make: (path: string) => Promise<void>,
): Promise<boolean> {
  try {
    await make(versionPath(folder, number));
  } catch (error) {
    if (systemCode(error) !== 'EEXIST') throw error;
    return false;
  }
  await fs.syncFolder(folder);
  const versions = await readVersions(fs, folder);
  const newest = versions.at(-1)?.number ?? number;
  await prune(fs, versions, newest - kept);
  if (newest - kept >= number) throw inDoubt(folder);
  return true;
}

export function inDoubt(folder: string): ThawError {
  return new ThawError(
    'THAW_STORE_AMBIGUOUS',
    `While ${folder.slice(0, -versionsSuffix.length)} was being written, too many other writes of it went by.`,
  );
}

async function prune(fs: FolderFs, versions: readonly Version[], upTo: number): Promise<void> {
  for (const version of versions) {
    if (version.number > upTo) return;
    // A deletion's folder is left: it is empty, rare, and removing it would need another system call.
    if (version.deleted) continue;
    try {
      await fs.unlink(version.path);
    } catch (error) {
      if (systemCode(error) !== 'ENOENT') throw error;
    }
  }
}
