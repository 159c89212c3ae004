/** Adapters of the object store port. */
export { openStore, parseStoreUrl } from './open-store.js';
export type { StoreLocation } from './open-store.js';
export { FolderStore } from './folder-store.js';
