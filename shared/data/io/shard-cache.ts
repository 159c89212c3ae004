/** Shards on local disk, by digest, within a size limit. Several processes may share a folder. */
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** A temporary file older than this was left by a process that died. */
const abandonedAfterMs = 60 * 60 * 1000;
const entryName = /^[0-9a-f]{64}$/;

export interface ShardCacheOptions {
  /** Created if missing. */
  readonly folder: string;
  /** Bytes kept at most; the least recently used go first. */
  readonly maxBytes: number;
}

export class ShardCache {
  readonly #folder: string;
  readonly #maxBytes: number;
  #evicting: Promise<void> = Promise.resolve();

  private constructor(options: ShardCacheOptions) {
    this.#folder = options.folder;
    this.#maxBytes = options.maxBytes;
  }

  /** Opens the folder and removes what dead writers left. */
  static async open(options: ShardCacheOptions): Promise<ShardCache> {
    await mkdir(options.folder, { recursive: true });
    for (const name of await readdir(options.folder)) {
      if (!name.endsWith('.tmp')) continue;
      const path = join(options.folder, name);
      const age = await stat(path).then(
        ({ mtimeMs }) => Date.now() - mtimeMs,
        () => 0,
      );
      if (age > abandonedAfterMs) await rm(path, { force: true });
    }
    return new ShardCache(options);
  }

  /** The verified bytes of a shard, or undefined. An entry that does not match its digest is removed. */
  async get(sha256: string): Promise<Uint8Array | undefined> {
    const path = this.#path(sha256);
    const bytes = await readFile(path).catch(ignoreMissing);
    if (bytes === undefined) return undefined;
    if (createHash('sha256').update(bytes).digest('hex') !== sha256) {
      await rm(path, { force: true });
      return undefined;
    }
    const now = new Date();
    await utimes(path, now, now).catch(ignoreMissing);
    return bytes;
  }

  /** Keeps the bytes of a shard, whole or not at all. A shard larger than the limit is not kept. */
  async put(sha256: string, bytes: Uint8Array): Promise<void> {
    if (bytes.byteLength > this.#maxBytes) return;
    const path = this.#path(sha256);
    const temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`;
    try {
      await writeFile(temporary, bytes);
      await rename(temporary, path);
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
    this.#evicting = this.#evicting.then(() => this.#evict(sha256));
    await this.#evicting;
  }

  async #evict(keep: string): Promise<void> {
    const entries: { path: string; size: number; usedMs: number; keep: boolean }[] = [];
    for (const name of await readdir(this.#folder)) {
      if (!entryName.test(name)) continue;
      const path = join(this.#folder, name);
      const found = await stat(path).catch(ignoreMissing);
      if (found) entries.push({ path, size: found.size, usedMs: found.mtimeMs, keep: name === keep });
    }
    let total = entries.reduce((sum, entry) => sum + entry.size, 0);
    for (const entry of entries.filter((entry) => !entry.keep).sort((a, b) => a.usedMs - b.usedMs)) {
      if (total <= this.#maxBytes) return;
      await rm(entry.path, { force: true });
      total -= entry.size;
    }
  }

  #path(sha256: string): string {
    if (!entryName.test(sha256)) throw new RangeError(`"${sha256}" is not a SHA-256 digest.`);
    return join(this.#folder, sha256);
  }
}

function ignoreMissing(error: unknown): undefined {
  if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
  throw error;
}
