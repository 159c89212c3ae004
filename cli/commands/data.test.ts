import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { loadImages, loadManifest } from '@thaw/shared/data';
import { openStore } from '@thaw/shared/storage';
import sharp from 'sharp';
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

it('packs images by their list of splits, and says who dealt them', async () => {
  const image = await sharp(Buffer.alloc(12), { raw: { width: 2, height: 2, channels: 3 } })
    .png()
    .toBuffer();
  const place = join(folder, 'celeba');
  mkdirSync(place);
  for (const name of ['1.png', '2.png', '3.png', '4.png']) writeFileSync(join(place, name), image);
  const list = join(place, 'list_eval_partition.txt');
  writeFileSync(list, '1.jpg 0\n2.jpg 0\n3.jpg 1\n4.jpg 2\n');
  expect(await pack({ source: place, name: 'celeba' })).toMatchObject({
    train: { images: 2 },
    test: { images: 1 },
    splitBy: list,
    leftOutForValidation: 1,
  });
  await expect(pack({ source: place, testPercent: 50 })).rejects.toThrow('says which images are the test split');
  await expect(pack({ source: place, test: place })).rejects.toThrow('--test: ');
  expect(await pack({ source: place, name: 'one', partition: false, testPercent: 25 })).toMatchObject({
    train: { images: 3 },
    test: { images: 1 },
  });
  expect(await pack({ source: place, name: 'with', partition: false, test: place })).toMatchObject({
    train: { images: 4 },
    test: { images: 4 },
  });
});

it('refuses options that the source has no use for', async () => {
  const cases: [Partial<PackCommand>, string][] = [
    [{ source: 'mnist', test: file }, '--test: it is of no use'],
    [{ source: 'mnist', labels: file }, '--labels: it is of no use'],
    [{ source: 'cifar10:nowhere', partition: 'list.txt' }, '--partition: it is of no use'],
    [{ testLabels: file }, '--test-labels: it is for the images of --test'],
    [{ imageColumn: 'image' }, '--image-column: it says nothing about'],
    [{ source: folder, labels: file }, '--labels: it says nothing about'],
  ];
  for (const [changes, words] of cases)
    await expect(pack(changes)).rejects.toMatchObject({
      code: 'THAW_CONFIG_INVALID',
      message: expect.stringContaining(words) as string,
    });
});
