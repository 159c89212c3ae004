/** Opens an object store by its address. */
import { isAbsolute } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ThawError } from '../../protocol/index.js';
import type { ObjectStore } from '../store/index.js';
import { checkKey } from '../store/index.js';
import { FolderStore } from './folder-store.js';

export type StoreLocation =
  | { readonly kind: 'folder'; readonly folder: string }
  | {
      readonly kind: 's3';
      readonly bucket: string;
      /** Put before every key, with a slash between; '' for none. */
      readonly prefix: string;
      readonly region: string;
      /** Of a server that is not AWS. */
      readonly endpoint: string | undefined;
      /** `endpoint/bucket/key` instead of `bucket.endpoint/key`. By default so if an endpoint is given. */
      readonly pathStyle: boolean;
    };

/**
 * Understands `file:///absolute/folder` and `s3://bucket/prefix?endpoint=URL&region=NAME&pathStyle=true|false`.
 * @throws ThawError THAW_STORE_URL_INVALID
 */
export function parseStoreUrl(address: string): StoreLocation {
  let url: URL;
  try {
    url = new URL(address);
  } catch {
    throw invalid(address, 'it is not a URL');
  }
  if (url.username !== '' || url.password !== '')
    throw new ThawError('THAW_STORE_URL_INVALID', 'An object store address carries credentials.', {
      cure: 'Leave them out; give AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment.',
    });
  if (url.protocol === 'file:') return folderLocation(address, url);
  if (url.protocol === 's3:') return s3Location(address, url);
  throw invalid(address, `${url.protocol} is not file: or s3:`);
}

function folderLocation(address: string, url: URL): StoreLocation {
  if (url.host !== '' || url.search !== '' || url.hash !== '')
    throw invalid(address, 'a file address is file:// and an absolute path');
  let folder: string;
  try {
    folder = fileURLToPath(url);
  } catch {
    throw invalid(address, 'its path cannot be used');
  }
  if (!isAbsolute(folder) || folder === '/') throw invalid(address, 'its path is not an absolute path of a folder');
  return { kind: 'folder', folder };
}

function s3Location(address: string, url: URL): StoreLocation {
  const known = new Set(['endpoint', 'region', 'pathStyle']);
  for (const name of url.searchParams.keys())
    if (!known.has(name)) throw invalid(address, `it has the unknown option ${name}`);
  if (!/^[a-z0-9][a-z0-9.-]{1,62}$/.test(url.host)) throw invalid(address, 'it names no bucket');
  const prefix = url.pathname.replace(/^\/+|\/+$/g, '');
  if (prefix !== '') checkKey(prefix);
  const endpoint = url.searchParams.get('endpoint') ?? undefined;
  if (endpoint !== undefined && !/^https?:\/\/[^/?#@]+\/?$/.test(endpoint))
    throw invalid(address, 'its endpoint is not an http(s) URL');
  const pathStyle = url.searchParams.get('pathStyle') ?? String(endpoint !== undefined);
  if (pathStyle !== 'true' && pathStyle !== 'false') throw invalid(address, 'pathStyle is not true or false');
  const region = url.searchParams.get('region') ?? process.env['AWS_REGION'] ?? 'us-east-1';
  return { kind: 's3', bucket: url.host, prefix, region, endpoint, pathStyle: pathStyle === 'true' };
}

/**
 * Opens a store. A folder is created if it is not there. Credentials for S3 come from the environment (AWS_ACCESS_KEY_ID, ...)
 * or whatever else the AWS SDK finds. The SDK is loaded only for s3: addresses.
 * @throws ThawError THAW_STORE_URL_INVALID, THAW_STORE_UNAVAILABLE
 */
export async function openStore(address: string): Promise<ObjectStore> {
  const location = parseStoreUrl(address);
  if (location.kind === 'folder') return FolderStore.open(location.folder);
  const { S3Store } = await import('./s3-store.js');
  return S3Store.open(location);
}

function invalid(address: string, problem: string): ThawError {
  return new ThawError(
    'THAW_STORE_URL_INVALID',
    `The object store address ${JSON.stringify(address.slice(0, 200))} cannot be used: ${problem}.`,
  );
}
