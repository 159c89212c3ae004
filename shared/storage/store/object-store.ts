/** An object as read at one moment. `bytes` belongs to the caller: a store never changes or reuses it. */
export interface StoredObject {
  readonly bytes: Uint8Array;
  /** Opaque tag of this version of the object, for {@link ObjectStore.compareAndSwap}. */
  readonly etag: string;
}

export interface ObjectHead {
  /** Bytes. */
  readonly size: number;
  readonly etag: string;
  /** Wall-clock time of the last write, in milliseconds since the epoch, by the store's own clock. */
  readonly modifiedMs: number;
}

export interface ListedObject {
  readonly key: string;
  /** Bytes. */
  readonly size: number;
  readonly modifiedMs: number;
}

export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

/**
 * The one way to durable state. Every adapter passes `test/conformance/object-store.test.ts`.
 *
 * - A reader sees a whole version of an object, never a mixture; a write that returned is durable and visible to everybody.
 * - `putIfAbsent` and `compareAndSwap` are atomic between any number of processes: of racing writers exactly one wins.
 * - A conditional write whose outcome cannot be known (connection lost and the object changed since) throws
 *   THAW_STORE_AMBIGUOUS instead of guessing. An unreachable store throws THAW_STORE_UNAVAILABLE.
 * - Keys are checked by `checkKey` before any effect: THAW_STORE_KEY_INVALID. A key is never a folder of another key.
 */
export interface ObjectStore {
  /**
   * Reads an object, or the part `range` of it. A range that reaches beyond the end is cut there; one that begins at or
   * beyond the end yields no bytes. `undefined` if there is no such object.
   */
  get(key: string, range?: ByteRange): Promise<StoredObject | undefined>;
  head(key: string): Promise<ObjectHead | undefined>;
  /** Creates an object. `created: false` and the etag of what is there if there is one already. */
  putIfAbsent(key: string, bytes: Uint8Array): Promise<{ created: boolean; etag: string }>;
  /** Replaces an object if its etag is `expectedEtag`. Otherwise `swapped: false`, with the etag of what is there, if anything. */
  compareAndSwap(key: string, bytes: Uint8Array, expectedEtag: string): Promise<{ swapped: boolean; etag?: string }>;
  /** Creates or replaces, whatever is there. For caches and for what can be rebuilt: the last writer wins. */
  put(key: string, bytes: Uint8Array): Promise<{ etag: string }>;
  /** The objects whose key begins with `prefix` (any text, not only whole parts; '' for all), in ascending order of key. */
  list(prefix: string): AsyncIterable<ListedObject>;
  /** Removes an object; no effect if there is none. */
  delete(key: string): Promise<void>;
}
