import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, test } from 'vitest';
import { openStore, parseStoreUrl } from './open-store.js';
import { FolderStore } from './folder-store.js';

test('understands folders and buckets', () => {
  expect(parseStoreUrl('file:///data/my%20store')).toEqual({ kind: 'folder', folder: '/data/my store' });
  expect(parseStoreUrl('s3://bucket/team/thaw?endpoint=http://127.0.0.1:9000&region=eu-1')).toEqual({
    kind: 's3',
    bucket: 'bucket',
    prefix: 'team/thaw',
    region: 'eu-1',
    endpoint: 'http://127.0.0.1:9000',
    pathStyle: true,
  });
  expect(parseStoreUrl('s3://bucket?region=eu-1')).toMatchObject({ prefix: '', endpoint: undefined, pathStyle: false });
  expect(parseStoreUrl('s3://bucket?endpoint=https://s3.example&pathStyle=false')).toMatchObject({ pathStyle: false });
});

test('refuses what it does not understand, and never repeats a secret', () => {
  const bad = [
    '',
    '/data',
    'http://host/x',
    'file://host/data',
    'file:///',
    'file:///data?x=1',
    'file:///a%2Fb',
    's3://',
    's3:///key',
    's3://B_ad/x',
    's3://bucket/a//b',
    's3://bucket/../x y',
    's3://bucket?endpoint=ftp://host',
    's3://bucket?endpoint=http://user:pass@host',
    's3://bucket?pathStyle=yes',
    's3://bucket?regoin=eu-1',
  ];
  for (const address of bad)
    expect(() => parseStoreUrl(address), address).toThrow(expect.objectContaining({ name: 'ThawError' }) as Error);
  expect(() => parseStoreUrl('s3://key:secret123@bucket')).toThrow(
    expect.objectContaining({
      code: 'THAW_STORE_URL_INVALID',
      message: expect.not.stringContaining('secret123'),
    }) as Error,
  );
});

test('opens a folder that is not there yet', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'thaw-open-'));
  const store = await openStore(pathToFileURL(join(folder, 'new', 'store')).href);
  expect(store).toBeInstanceOf(FolderStore);
  expect((await store.putIfAbsent('a', new Uint8Array(3))).created).toBe(true);
  await rm(folder, { recursive: true });
});
