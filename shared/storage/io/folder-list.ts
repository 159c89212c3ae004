/** What is in one folder of the store. */
import { join } from 'node:path';
import { checkKey } from '../store/index.js';
import { isAbsent, temporaryFolder } from './folder-files.js';
import type { FolderFs } from './folder-fs.js';
import { versionsSuffix } from './folder-versions.js';

/** Objects (by their last part) and folders (with a slash) in a folder, in the order of the keys they stand for. */
export async function childrenOf(
  fs: FolderFs,
  root: string,
  folderKey: string,
  namePrefix: string,
): Promise<{ name: string; isFolder: boolean }[]> {
  let entries;
  try {
    entries = await fs.readFolder(join(root, folderKey));
  } catch (error) {
    if (isAbsent(error)) return [];
    throw error;
  }
  const objects = new Set<string>();
  const folders = new Set<string>();
  for (const { name, isFolder } of entries) {
    if (!name.startsWith(namePrefix) || name === temporaryFolder) continue;
    if (!isFolder) objects.add(name);
    else if (name.endsWith(versionsSuffix)) objects.add(name.slice(0, -versionsSuffix.length));
    else folders.add(`${name}/`);
  }
  const all = [
    ...[...objects].filter((name) => isKey(folderKey + name)).map((name) => ({ name, isFolder: false })),
    ...[...folders].map((name) => ({ name, isFolder: true })),
  ];
  return all.sort((a, b) => (a.name < b.name ? -1 : 1));
}

function isKey(text: string): boolean {
  try {
    checkKey(text);
    return true;
  } catch {
    return false;
  }
}
