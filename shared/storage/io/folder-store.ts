/**
 * An object store in a folder: for one machine, or for several that share a POSIX file system with atomic link() and rename().
 *
 * An object that was only ever created (blobs, records, manifests, shards) is the file of its key. Objects changed by
 * compare-and-swap have versions, see `folder-versions.ts`; from the first version on, the file of the key counts no more.
 * Bytes are written to a temporary file, synced, and get their name by link() or rename(); then the folder is synced. A writer
 * that dies leaves at most a temporary file, which a later `open` sweeps. Keys that differ only in case need a
 * file system that tells them apart.
 */
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ThawError } from '../../protocol/index.js';
import type { ByteRange, ListedObject, ObjectHead, ObjectStore, StoredObject } from '../store/index.js';
import { checkKey, checkPrefix } from '../store/index.js';
import type { Temporary } from './folder-files.js';
import { FolderFiles, isAbsent, modifiedMs, temporaryFolder } from './folder-files.js';
import { childrenOf } from './folder-list.js';
import type { FileFacts, FolderFs } from './folder-fs.js';
import { nodeFs, systemCode } from './folder-fs.js';
import type { Version } from './folder-versions.js';
import { appendVersion, inDoubt, keptVersions, newestVersion, versionPath, versionsSuffix } from './folder-versions.js';

/** Temporary files older than this belong to nobody alive. */
const temporaryTtlMs = 3_600_000;

export class FolderStore implements ObjectStore {
  readonly #root: string;
  readonly #fs: FolderFs;
  readonly #kept: number;
  readonly #files: FolderFiles;

  /** Use {@link FolderStore.open}; the constructor touches nothing. */
  constructor(folder: string, fs: FolderFs = nodeFs, kept = keptVersions) {
    this.#root = folder;
    this.#fs = fs;
    this.#kept = kept;
    this.#files = new FolderFiles(folder, fs);
  }

  /**
   * Opens the store in `folder`, which is made if it is not there, and removes temporary files that dead writers have left.
   * @throws ThawError THAW_STORE_UNAVAILABLE
   */
  static async open(folder: string): Promise<FolderStore> {
    const store = new FolderStore(folder);
    await store.#guarded(folder, async () => {
      await mkdir(join(folder, temporaryFolder), { recursive: true });
      await store.sweepTemporary(Date.now() - temporaryTtlMs);
    });
    return store;
  }

  get(key: string, range?: ByteRange): Promise<StoredObject | undefined> {
    checkKey(key);
    return this.#guarded(key, () =>
      this.#present(key, async (path, version) => {
        const { bytes, facts } = await this.#fs.readFile(path, range);
        return facts.isFile ? { bytes, etag: etagOf(facts, version) } : undefined;
      }),
    );
  }

  head(key: string): Promise<ObjectHead | undefined> {
    checkKey(key);
    return this.#guarded(key, () =>
      this.#present(key, async (path, version) => {
        const facts = await this.#fs.facts(path);
        if (!facts.isFile) return undefined;
        return { size: facts.size, etag: etagOf(facts, version), modifiedMs: modifiedMs(facts) };
      }),
    );
  }

  putIfAbsent(key: string, bytes: Uint8Array): Promise<{ created: boolean; etag: string }> {
    checkKey(key);
    return this.#guarded(key, async () => {
      const present = await this.head(key);
      if (present !== undefined) {
        await this.#fs.syncFolder(dirname(this.#path(key)));
        return { created: false, etag: present.etag };
      }
      return this.#files.withTemporary(this.#path(key), bytes, (temporary) => this.#create(key, temporary));
    });
  }

  compareAndSwap(key: string, bytes: Uint8Array, expectedEtag: string): Promise<{ swapped: boolean; etag?: string }> {
    checkKey(key);
    return this.#guarded(key, async () => {
      const folder = this.#path(key) + versionsSuffix;
      for (;;) {
        const present = await this.head(key);
        if (present === undefined) return { swapped: false };
        if (present.etag !== expectedEtag) return { swapped: false, etag: present.etag };
        const version = await newestVersion(this.#fs, folder);
        if (version === undefined) {
          await this.#claim(key, folder);
          continue;
        }
        const facts = version.deleted ? undefined : await this.#files.factsIfThere(version.path);
        if (facts === undefined || etagOf(facts, version) !== expectedEtag) continue;
        return this.#files.withTemporary(this.#path(key), bytes, async (temporary) => {
          const number = version.number + 1;
          const swapped = await appendVersion(this.#fs, folder, number, this.#kept, (path) =>
            this.#fs.link(temporary.path, path),
          );
          if (!swapped) return { swapped, etag: (await this.head(key))?.etag };
          // With the first version goes its other name, so that nobody who looks into the folder takes it for the present.
          if (number === this.#kept + 1) await this.#files.unlinkIfThere(this.#path(key));
          return { swapped, etag: etagOf(temporary.facts, { number }) };
        });
      }
    });
  }

  put(key: string, bytes: Uint8Array): Promise<{ etag: string }> {
    checkKey(key);
    return this.#guarded(key, async () => ({
      etag: await this.#files.withTemporary(this.#path(key), bytes, (temporary) => this.#replace(key, temporary)),
    }));
  }

  async *list(prefix: string): AsyncGenerator<ListedObject> {
    checkPrefix(prefix);
    const cut = prefix.lastIndexOf('/') + 1;
    yield* this.#walk(prefix.slice(0, cut), prefix.slice(cut));
  }

  delete(key: string): Promise<void> {
    checkKey(key);
    return this.#guarded(key, async () => {
      const folder = this.#path(key) + versionsSuffix;
      for (;;) {
        const version = await newestVersion(this.#fs, folder);
        if (version?.deleted === true) return;
        if (version === undefined) {
          if (await this.#remove(key)) return;
          continue;
        }
        const number = version.number + 1;
        if (await appendVersion(this.#fs, folder, number, this.#kept, (entry) => this.#fs.makeFolder(entry))) return;
      }
    });
  }

  /** Removes temporary files last written before a time (milliseconds since the epoch). Returns how many. */
  sweepTemporary(beforeMs: number): Promise<number> {
    return this.#files.sweepTemporary(beforeMs);
  }

  /** Reads the present version of an object by `read`, again if it was removed or the object got versions meanwhile. */
  async #present<T>(
    key: string,
    read: (path: string, version: Version | undefined) => Promise<T | undefined>,
  ): Promise<T | undefined> {
    const path = this.#path(key);
    const folder = path + versionsSuffix;
    for (;;) {
      const version = await newestVersion(this.#fs, folder);
      if (version?.deleted === true) return undefined;
      let found: T | undefined;
      try {
        found = await read(version?.path ?? path, version);
      } catch (error) {
        if (!isAbsent(error)) throw error;
        if (version !== undefined) continue;
      }
      if (version !== undefined || (await newestVersion(this.#fs, folder)) === undefined) return found;
    }
  }

  async #create(key: string, temporary: Temporary): Promise<{ created: boolean; etag: string }> {
    const path = this.#path(key);
    const folder = path + versionsSuffix;
    for (;;) {
      const version = await newestVersion(this.#fs, folder);
      if (version?.deleted === true) {
        const number = version.number + 1;
        if (await appendVersion(this.#fs, folder, number, this.#kept, (entry) => this.#fs.link(temporary.path, entry)))
          return { created: true, etag: etagOf(temporary.facts, { number }) };
        continue;
      }
      if (version === undefined && (await this.#files.linkIfFree(temporary.path, path))) {
        await this.#fs.syncFolder(dirname(path));
        await this.#makeSure(folder, temporary);
        return { created: true, etag: etagOf(temporary.facts, undefined) };
      }
      const present = await this.head(key);
      if (present !== undefined) {
        await this.#fs.syncFolder(dirname(path));
        return { created: false, etag: present.etag };
      }
      if (version === undefined) await this.#files.refuseFolder(path);
    }
  }

  async #replace(key: string, temporary: Temporary): Promise<string> {
    const path = this.#path(key);
    const folder = path + versionsSuffix;
    for (;;) {
      const version = await newestVersion(this.#fs, folder);
      if (version === undefined) {
        await this.#files.refuseFolder(path);
        await this.#fs.rename(temporary.path, path);
        await this.#fs.syncFolder(dirname(path));
        await this.#makeSure(folder, temporary);
        return etagOf(temporary.facts, undefined);
      }
      const number = version.number + 1;
      if (await appendVersion(this.#fs, folder, number, this.#kept, (entry) => this.#fs.link(temporary.path, entry)))
        return etagOf(temporary.facts, { number });
    }
  }

  /**
   * Makes sure that a file that has just got the name of its key counts: there are no versions, or the first of them is this
   * file. Otherwise it was replaced before it became a version, or came too late to count at all.
   * @throws ThawError THAW_STORE_AMBIGUOUS
   */
  async #makeSure(folder: string, { facts }: Temporary): Promise<void> {
    const version = await newestVersion(this.#fs, folder);
    if (version !== undefined && !(await this.#isFirst(folder, version, facts))) throw inDoubt(folder);
  }

  async #isFirst(folder: string, newest: Version, { inode }: FileFacts): Promise<boolean> {
    // Beyond that the first version has been removed; what has its name would be a late entry.
    if (newest.number > this.#kept) return false;
    return (await this.#files.factsIfThere(versionPath(folder, 1)))?.inode === inode;
  }

  /**
   * Removes the file of a key that has no versions.
   * @returns false if it has got versions meanwhile, so that nothing was done
   * @throws ThawError THAW_STORE_AMBIGUOUS if it has got versions and what was removed may have been the object before that
   */
  async #remove(key: string): Promise<boolean> {
    const path = this.#path(key);
    const folder = path + versionsSuffix;
    await this.#files.makeFolders(join(this.#root, temporaryFolder));
    // A second name keeps the inode from being given to another file as long as it is compared.
    const held = this.#files.temporaryPath();
    try {
      let facts: FileFacts | undefined;
      try {
        await this.#fs.link(path, held);
        facts = await this.#fs.facts(held);
      } catch (error) {
        // EPERM: a folder, so there is no object.
        if (!isAbsent(error) && systemCode(error) !== 'EPERM') throw error;
      }
      const removed = facts !== undefined && (await this.#files.unlinkIfThere(path));
      if (removed) await this.#fs.syncFolder(dirname(path));
      const version = await newestVersion(this.#fs, folder);
      if (version === undefined) return true;
      // The first version is what was removed: it was one before, and its other name did not count any more.
      if (!removed || (await this.#isFirst(folder, version, facts!))) return false;
      throw inDoubt(folder);
    } finally {
      await this.#files.unlinkIfThere(held);
    }
  }

  /** Makes the file of a key the first of its versions, if it is still there and nobody else has. */
  async #claim(key: string, folder: string): Promise<void> {
    await this.#files.makeFolders(folder);
    try {
      if (await this.#files.linkIfFree(this.#path(key), versionPath(folder, 1))) await this.#fs.syncFolder(folder);
    } catch (error) {
      if (!isAbsent(error)) throw error;
    }
  }

  async *#walk(folderKey: string, namePrefix: string): AsyncGenerator<ListedObject> {
    const children = await this.#guarded(folderKey, () => childrenOf(this.#fs, this.#root, folderKey, namePrefix));
    for (const { name, isFolder } of children) {
      if (isFolder) {
        yield* this.#walk(folderKey + name, '');
        continue;
      }
      const key = folderKey + name;
      const found = await this.head(key);
      if (found !== undefined) yield { key, size: found.size, modifiedMs: found.modifiedMs };
    }
  }

  #path(key: string): string {
    return join(this.#root, key);
  }

  /** Runs an operation and turns a failed system call into a sentence. */
  async #guarded<T>(key: string, operation: () => Promise<T>): Promise<T> {
    try {
      return await operation();
    } catch (error) {
      const code = systemCode(error);
      if (error instanceof ThawError || code === undefined) throw error;
      this.#files.forget();
      if (code === 'ENOTDIR')
        throw new ThawError('THAW_STORE_KEY_INVALID', `A part of the key ${key} is an object itself.`, {
          cause: error,
        });
      throw new ThawError('THAW_STORE_UNAVAILABLE', `The store in ${this.#root} failed with ${code} at ${key}.`, {
        cause: error,
      });
    }
  }
}

/** Versions from the second on are numbered and never reused; a file that was only created is known by what it is. */
function etagOf(facts: FileFacts, version: Pick<Version, 'number'> | undefined): string {
  if (version !== undefined && version.number > 1) return `v${version.number}`;
  return `f${facts.inode.toString(36)}-${facts.modifiedNs.toString(36)}-${facts.size.toString(36)}`;
}
