/** Content-addressed bytes. */
export { blobKey, blobPrefix, getBlob, putBlob, sha256Hex } from './blobs.js';
