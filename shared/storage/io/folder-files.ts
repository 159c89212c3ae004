/**
 * The careful ways to make and remove files: temporary files that are durable before they get a name, folders whose names
 * survive a loss of power.
 */
import { randomBytes } from 'node:crypto';
import { dirname, join } from 'node:path';
import { ThawError } from '../../protocol/index.js';
import type { FileFacts, FolderFs } from './folder-fs.js';
import { systemCode } from './folder-fs.js';

export const temporaryFolder = '~tmp';

/** A file with its whole content on the disk, waiting for a name. */
export interface Temporary {
  readonly path: string;
  readonly facts: FileFacts;
}

export class FolderFiles {
  readonly #root: string;
  readonly #fs: FolderFs;
  /** Folders that this process has made sure of. */
  readonly #known = new Set<string>();

  constructor(root: string, fs: FolderFs) {
    this.#root = root;
    this.#fs = fs;
  }

  /** Forgets which folders are there: somebody may have removed one. */
  forget(): void {
    this.#known.clear();
  }

  /**
   * Writes bytes to a temporary file and syncs it, lets `use` name it, and removes the temporary name.
   * @param path of the object: the folders above it are made
   */
  async withTemporary<T>(path: string, bytes: Uint8Array, use: (temporary: Temporary) => Promise<T>): Promise<T> {
    await this.makeFolders(dirname(path));
    await this.makeFolders(join(this.#root, temporaryFolder));
    const temporary = this.temporaryPath();
    const file = await this.#fs.createFile(temporary);
    try {
      let facts;
      try {
        await file.write(bytes);
        // A random fraction of the millisecond tells apart files of equal size that get the same inode one after the other.
        await file.setModified(Date.now() + Math.random());
        await file.sync();
        facts = await file.facts();
      } finally {
        await file.close();
      }
      return await use({ path: temporary, facts });
    } finally {
      await this.unlinkIfThere(temporary);
    }
  }

  /** A name that no other file has. Its folder must be made first. */
  temporaryPath(): string {
    return join(this.#root, temporaryFolder, `${process.pid}-${randomBytes(12).toString('hex')}`);
  }

  /** Makes a folder and those above it, and makes sure that their names survive a loss of power. */
  async makeFolders(folder: string): Promise<void> {
    if (folder === this.#root || this.#known.has(folder)) return;
    await this.makeFolders(dirname(folder));
    try {
      await this.#fs.makeFolder(folder);
    } catch (error) {
      if (systemCode(error) !== 'EEXIST') throw error;
    }
    await this.#fs.syncFolder(dirname(folder));
    this.#known.add(folder);
  }

  /** @returns false if the name is taken */
  async linkIfFree(from: string, to: string): Promise<boolean> {
    try {
      await this.#fs.link(from, to);
      return true;
    } catch (error) {
      if (systemCode(error) === 'EEXIST') return false;
      throw error;
    }
  }

  /** @returns false if there is no such file */
  async unlinkIfThere(path: string): Promise<boolean> {
    try {
      await this.#fs.unlink(path);
      return true;
    } catch (error) {
      // EISDIR and EPERM: the name is a folder, so there is no object of this name.
      if (isAbsent(error) || systemCode(error) === 'EPERM') return false;
      throw error;
    }
  }

  async factsIfThere(path: string): Promise<FileFacts | undefined> {
    try {
      return await this.#fs.facts(path);
    } catch (error) {
      if (isAbsent(error)) return undefined;
      throw error;
    }
  }

  /** @throws ThawError THAW_STORE_KEY_INVALID if there is a folder where a file is wanted */
  async refuseFolder(path: string): Promise<void> {
    const facts = await this.factsIfThere(path);
    if (facts !== undefined && !facts.isFile)
      throw new ThawError('THAW_STORE_KEY_INVALID', `The key of ${path} is the beginning of other keys.`);
  }

  /** Removes temporary files last written before a time (milliseconds since the epoch). Returns how many. */
  async sweepTemporary(beforeMs: number): Promise<number> {
    const folder = join(this.#root, temporaryFolder);
    let removed = 0;
    for (const { name } of await this.#fs.readFolder(folder)) {
      const path = join(folder, name);
      const facts = await this.factsIfThere(path);
      if (facts !== undefined && modifiedMs(facts) < beforeMs && (await this.unlinkIfThere(path))) removed += 1;
    }
    return removed;
  }
}

/** The error says that there is no file of this name. */
export function isAbsent(error: unknown): boolean {
  const code = systemCode(error);
  return code === 'ENOENT' || code === 'ENOTDIR' || code === 'EISDIR';
}

export function modifiedMs(facts: FileFacts): number {
  return Number(facts.modifiedNs / 1_000_000n);
}
