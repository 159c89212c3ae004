/** An object store in memory: for tests and simulations, and the simplest statement of what a store does. */
import { checkKey, checkPrefix } from './keys.js';
import type { ByteRange, ListedObject, ObjectHead, ObjectStore, StoredObject } from './object-store.js';

interface Entry {
  readonly bytes: Uint8Array;
  readonly etag: string;
  readonly modifiedMs: number;
}

export interface MemoryStoreOptions {
  /** Source of `modifiedMs`. Without it every object has the time 0. */
  readonly wallTimeMs?: () => number;
}

export class MemoryStore implements ObjectStore {
  readonly #objects = new Map<string, Entry>();
  readonly #wallTimeMs: () => number;
  #writes = 0;

  constructor(options: MemoryStoreOptions = {}) {
    this.#wallTimeMs = options.wallTimeMs ?? (() => 0);
  }

  async get(key: string, range?: ByteRange): Promise<StoredObject | undefined> {
    checkKey(key);
    const entry = this.#objects.get(key);
    if (entry === undefined) return undefined;
    const bytes = range === undefined ? entry.bytes : entry.bytes.subarray(range.offset, range.offset + range.length);
    return { bytes: bytes.slice(), etag: entry.etag };
  }

  async head(key: string): Promise<ObjectHead | undefined> {
    checkKey(key);
    const entry = this.#objects.get(key);
    return entry && { size: entry.bytes.byteLength, etag: entry.etag, modifiedMs: entry.modifiedMs };
  }

  async putIfAbsent(key: string, bytes: Uint8Array): Promise<{ created: boolean; etag: string }> {
    checkKey(key);
    const present = this.#objects.get(key);
    return present ? { created: false, etag: present.etag } : { created: true, etag: this.#write(key, bytes) };
  }

  async compareAndSwap(
    key: string,
    bytes: Uint8Array,
    expectedEtag: string,
  ): Promise<{ swapped: boolean; etag?: string }> {
    checkKey(key);
    const present = this.#objects.get(key);
    if (present === undefined) return { swapped: false };
    if (present.etag !== expectedEtag) return { swapped: false, etag: present.etag };
    return { swapped: true, etag: this.#write(key, bytes) };
  }

  async put(key: string, bytes: Uint8Array): Promise<{ etag: string }> {
    checkKey(key);
    return { etag: this.#write(key, bytes) };
  }

  async *list(prefix: string): AsyncGenerator<ListedObject> {
    checkPrefix(prefix);
    const keys = [...this.#objects.keys()].filter((key) => key.startsWith(prefix)).sort();
    for (const key of keys) {
      const entry = this.#objects.get(key);
      if (entry !== undefined) yield { key, size: entry.bytes.byteLength, modifiedMs: entry.modifiedMs };
    }
  }

  async delete(key: string): Promise<void> {
    checkKey(key);
    this.#objects.delete(key);
  }

  #write(key: string, bytes: Uint8Array): string {
    this.#writes += 1;
    const etag = `m${this.#writes}`;
    this.#objects.set(key, { bytes: bytes.slice(), etag, modifiedMs: this.#wallTimeMs() });
    return etag;
  }
}
