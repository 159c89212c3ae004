import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { loadImages, loadManifest } from '@thaw/shared/data';
import { openStore } from '@thaw/shared/storage';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { packCommand, type PackCommand } from './data.js';

let folder: string;
let file: string;
const pack = (changes: Partial<PackCommand>): Promise<Record<string, unknown>> =>
  packCommand({
    storeUrl: pathToFileURL(join(folder, 'store')).href,
    name: 'numbers',
    source: file,
    method: 'none',
    ...changes,
  });
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'thaw-pack-'));
  file = join(folder, 'numbers-idx3-ubyte');
  // 21 images of 2 x 2; image i is i everywhere.
  const header = [0, 0, 8, 3, 0, 0, 0, 21, 0, 0, 0, 2, 0, 0, 0, 2];
  writeFileSync(file, Uint8Array.from([...header, ...Array.from({ length: 84 }, (_, i) => Math.floor(i / 4))]));
});
afterAll(() => rmSync(folder, { recursive: true }));

it('splits off the last images as the test split, in their order', async () => {
  expect(await pack({ testPercent: 10 })).toMatchObject({ train: { images: 18 }, test: { images: 3 } });
  const store = await openStore(pathToFileURL(join(folder, 'store')).href);
  const manifest = await loadManifest(store, 'numbers');
  const values = async (split: 'train' | 'test', count: number): Promise<number[]> =>
    Array.from((await loadImages(store, manifest, split, 0, count)).images.filter((_, i) => i % 4 === 0));
  expect(await values('train', 18)).toEqual(Array.from({ length: 18 }, (_, i) => i));
  expect(await values('test', 3)).toEqual([18, 19, 20]);
});

it('refuses a percentage where the test split is known', async () => {
  for (const changes of [{ source: 'mnist' }, { source: 'cifar10:nowhere' }, { test: file }])
    await expect(pack({ ...changes, testPercent: 10 })).rejects.toThrow('--test-percent:');
});
