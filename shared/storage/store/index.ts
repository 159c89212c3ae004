/** The object store port, its keys, and the store in memory. */
export type { ByteRange, ListedObject, ObjectHead, ObjectStore, StoredObject } from './object-store.js';
export { checkKey, checkName, checkPrefix } from './keys.js';
export { MemoryStore } from './memory-store.js';
export type { MemoryStoreOptions } from './memory-store.js';
export { checkStoreFitness } from './fitness.js';
