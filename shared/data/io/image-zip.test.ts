import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { MemoryStore } from '@thaw/shared/storage';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { listSource } from '../image-list.js';
import type { BadImage, SourceImage } from '../image-source.js';
import { verifyDataset } from '../inspection.js';
import { packDataset } from '../packing.js';
import type { ImageLimits } from './decode-image.js';
import { openImageSplits, type ImageSplitOptions } from './image-splits.js';
import { listImageZip } from './image-zip.js';
import { makeZip, type ZipEntry } from './zip.fixture.js';

let folder: string;
let count = 0;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'thaw-zip-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const png = (value: number, edge = 2): Promise<Uint8Array> =>
  sharp(Buffer.alloc(edge * edge * 3, value), { raw: { width: edge, height: edge, channels: 3 } })
    .png()
    .toBuffer();
/** Writes a zip into a folder of its own. */
function zipFile(content: readonly ZipEntry[] | Uint8Array, name = 'images.zip'): string {
  const path = join(folder, `${count++}`, name);
  mkdirSync(dirname(path));
  writeFileSync(path, content instanceof Uint8Array ? content : makeZip(content));
  return path;
}
async function items(path: string, limits: ImageLimits = {}, from = 0): Promise<(SourceImage | BadImage)[]> {
  const out: (SourceImage | BadImage)[] = [];
  for await (const item of listSource(await listImageZip(path, limits), limits.parallel ?? 3).items(from))
    out.push(item);
  return out;
}
const invalid = (words: string) =>
  expect.objectContaining({ code: 'THAW_DATA_INVALID', message: expect.stringContaining(words) as string }) as Error;
const options = { name: 'zipped', preprocessing: { method: 'none' }, shardBytes: 24 } as const; // two images of 12 bytes

describe('a zip of images', () => {
  it('is packed to the bytes of the folder that it unpacks to, whatever the order of its entries', async () => {
    const files: [string, Uint8Array][] = [];
    for (const [i, name] of ['img/b.png', 'img/a-1.PNG', 'img/deep/er/a.png', 'z.png', 'A.png'].entries())
      files.push([name, await png(10 * i)]);
    const path = zipFile([
      { name: 'img/', bytes: new Uint8Array(0), method: 0 },
      ...files.map(([name, bytes], i) => ({ name, bytes, method: i % 2 === 0 ? 0 : 8 })),
      { name: 'README.txt', bytes: new Uint8Array(5) },
      { name: '__MACOSX/img/._b.png', bytes: new Uint8Array(5) },
      { name: '.thumbs/x.png', bytes: new Uint8Array(5) },
    ]);
    const unpacked = join(folder, 'unpacked');
    for (const [name, bytes] of files) {
      mkdirSync(dirname(join(unpacked, name)), { recursive: true });
      writeFileSync(join(unpacked, name), bytes);
    }
    expect((await items(path)).map(({ name }) => name)).toEqual([
      'A.png',
      'img/a-1.PNG',
      'img/b.png',
      'img/deep/er/a.png',
      'z.png',
    ]);
    expect((await items(path, { parallel: 1 }, 3)).map(({ name }) => name)).toEqual(['img/deep/er/a.png', 'z.png']);
    const packed = async (from: string) =>
      (await packDataset(new MemoryStore(), await openImageSplits(from), options)).manifest;
    expect((await packed(path)).contentSha256).toBe((await packed(unpacked)).contentSha256);
    expect(readdirSync(dirname(path))).toEqual(['images.zip']); // nothing was unpacked beside it
  });

  it('puts what is wrong with one image on that image', async () => {
    const good = await png(9);
    const path = zipFile([
      { name: 'a.png', bytes: good },
      { name: 'b-encrypted.png', bytes: good, encrypted: true },
      { name: 'c-lzma.png', bytes: good, method: 14 },
      { name: 'd-bomb.png', bytes: good, saysBytes: 3e9 },
      { name: 'e-longer.png', bytes: good, saysBytes: good.length - 1 },
      { name: 'f-shorter.png', bytes: good, saysBytes: good.length + 1 },
      { name: 'g-torn.png', bytes: good, saysCrc: 1 },
      { name: 'h-text.png', bytes: new TextEncoder().encode('no image') },
      { name: 'i.bmp', bytes: good },
      { name: 'j-wide.png', bytes: await png(1, 40) },
      { name: 'k.png', bytes: good },
    ]);
    const all = await items(path, { maxFileBytes: 1e6, maxPixels: 100 });
    expect(all.map((item) => `${item.name}: ${item.kind === 'bad' ? item.reason : 'good'}`)).toEqual([
      'a.png: good',
      'b-encrypted.png: The entry is encrypted.',
      'c-lzma.png: The entry is compressed by method 14; stored (0) and deflated (8) ones are read.',
      'd-bomb.png: The file has 3000000000 bytes; at most 1000000 are read.',
      expect.stringContaining('e-longer.png: too many bytes'),
      expect.stringContaining('f-shorter.png: not enough bytes'),
      'g-torn.png: The entry is torn: its checksum is another.',
      expect.stringContaining('h-text.png: '),
      'i.bmp: Images of this format cannot be decoded.',
      expect.stringContaining('j-wide.png: Input image exceeds pixel limit'),
      'k.png: good',
    ]);
    const { manifest } = await packDataset(
      new MemoryStore(),
      { train: listSource(await listImageZip(path, { maxPixels: 100 }), 2) },
      { ...options, maxBadShare: 0.9 },
    );
    expect(manifest.splits.train).toMatchObject({ count: 2, quarantined: 9 });
  });

  it('goes on where packing was interrupted', async () => {
    const entries: ZipEntry[] = [];
    for (let i = 0; i < 7; i++) entries.push({ name: `${i}.png`, bytes: await png(i) });
    const path = zipFile(entries);
    const whole = await packDataset(new MemoryStore(), await openImageSplits(path), options);
    const store = new MemoryStore();
    const stop = new AbortController();
    const interrupted = packDataset(store, await openImageSplits(path), {
      ...options,
      signal: stop.signal,
      onProgress: ({ shards }) => shards === 2 && stop.abort(new Error('stopped')),
    });
    await expect(interrupted).rejects.toThrow('stopped');
    const { manifest, resumedShards } = await packDataset(store, await openImageSplits(path), options);
    expect([resumedShards, manifest.contentSha256]).toEqual([2, whole.manifest.contentSha256]);
    expect((await verifyDataset(store, 'zipped')).ok).toBe(true);
    // Another zip under the same name is another source.
    writeFileSync(path, makeZip([...entries.slice(1), { name: '0.png', bytes: await png(99) }]));
    await expect(packDataset(store, await openImageSplits(path), options)).rejects.toThrow(invalid('another data set'));
  });

  it('refuses what is no zip of images', async () => {
    const image = { name: 'a.png', bytes: await png(1) };
    const whole = makeZip([image, { ...image, name: 'b.png' }]);
    const cases: [path: string, words: string][] = [
      [join(folder, 'nowhere.zip'), 'ENOENT'],
      [zipFile(new TextEncoder().encode('I am no zip at all, only text.')), 'not a zip file'],
      [zipFile(new Uint8Array(0)), 'not a zip file'],
      [zipFile(whole.slice(0, whole.length - 30)), 'truncated'],
      [zipFile(whole.slice(100)), 'cannot be read as a zip'],
      [zipFile([]), 'holds no image files'],
      [zipFile([{ name: 'notes.txt', bytes: image.bytes }]), 'holds no image files'],
      [zipFile([image, { ...image, name: '../../outside.png' }]), 'invalid relative path: ../../outside.png'],
      [zipFile([image, { ...image, name: '/etc/outside.png' }]), 'absolute path: /etc/outside.png'],
    ];
    for (const [path, words] of cases) await expect(openImageSplits(path)).rejects.toThrow(invalid(words));
    const locked = zipFile([{ ...image, encrypted: true }]);
    await expect(packDataset(new MemoryStore(), await openImageSplits(locked), options)).rejects.toThrow(
      invalid('The first: a.png: The entry is encrypted.'),
    );
  });

  it('reads any damaged file to good or bad images, or to a coded sentence', async () => {
    const whole = makeZip([
      { name: 'a.png', bytes: await png(1) },
      { name: 'b.png', bytes: await png(2), method: 0 },
    ]);
    const path = zipFile(whole);
    for (let at = 0; at < whole.length; at += 7) {
      const damaged = whole.slice();
      damaged[at]! ^= 0xa5;
      writeFileSync(path, damaged);
      const outcome = await items(path, { maxFileBytes: 1e5 }).catch((error: unknown) => error);
      if (!Array.isArray(outcome)) expect(outcome).toMatchObject({ code: 'THAW_DATA_INVALID' });
      else for (const item of outcome) if (item.kind === 'image') expect([1, 2]).toContain(item.pixels[0]);
    }
  });
});

describe("CelebA's list of splits", () => {
  const lists = { inside: 'list_eval_partition.txt', outside: 'splits.csv' };
  const celeba = async (more: readonly ZipEntry[] = []): Promise<string> => {
    const entries: ZipEntry[] = [];
    for (let i = 1; i <= 6; i++) entries.push({ name: `img_align_celeba/00000${i}.jpg`, bytes: await png(i) });
    return zipFile([...entries, ...more], 'img_align_celeba.zip');
  };
  const text = (splits: string, end = '\n'): string =>
    [...splits].map((split, i) => `00000${i + 1}.jpg ${split}${end}`).join('');
  const values = async (path: string, split?: ImageSplitOptions) => {
    const { train, test, leftOut } = await openImageSplits(path, split);
    const of = async (source: typeof train): Promise<number[]> => {
      const out: number[] = [];
      for await (const item of source.items(0)) out.push(item.kind === 'image' ? item.pixels[0]! : -1);
      return out;
    };
    return { train: await of(train), test: test && (await of(test)), leftOut };
  };
  const dealt = { train: [1, 4, 5], test: [3, 6], leftOut: 1 };

  it('is found in the zip, beside it, or where it is said to be', async () => {
    expect(
      await values(await celeba([{ name: `Eval/${lists.inside}`, bytes: new TextEncoder().encode(text('012002')) }])),
    ).toEqual(dealt);
    const beside = await celeba();
    writeFileSync(join(dirname(beside), lists.inside), text('012002', '\r\n'));
    expect(await values(beside)).toEqual(dealt);
    expect(await values(beside, { partition: false })).toEqual({
      train: [1, 2, 3, 4, 5, 6],
      test: undefined,
      leftOut: 0,
    });
    const list = join(folder, lists.outside);
    writeFileSync(list, `image_id,partition\n${text('000022').replaceAll(' ', ',')}`);
    expect(await values(beside, { partition: list })).toEqual({ train: [1, 2, 3, 4], test: [5, 6], leftOut: 0 });
  });

  it('deals the images of a folder too, and each split goes on from any image', async () => {
    const place = join(folder, 'celeba-folder');
    mkdirSync(place);
    for (let i = 1; i <= 6; i++) writeFileSync(join(place, `00000${i}.png`), await png(i));
    writeFileSync(join(place, lists.inside), text('012002'));
    expect(await values(place)).toEqual(dealt);
    const { train } = await openImageSplits(place);
    const rest: string[] = [];
    for await (const { name } of train.items(1)) rest.push(name);
    expect(rest).toEqual(['000004.png', '000005.png']);
  });

  it('must fit the images', async () => {
    const path = await celeba();
    const cases: [text: string, words: string][] = [
      [text('01200'), 'does not list 1 of 6 images, the first of them img_align_celeba/000006.jpg'],
      [text('222222'), 'gives none of the 6 images to training'],
      [text('012003'), 'line 6: "000006.jpg 3" is no entry'],
      ['000001.jpg 0\n000001.jpg 2\n', 'line 2: 000001.jpg is in another split above'],
      ['', 'lists no image'],
    ];
    for (const [content, words] of cases) {
      const partition = join(folder, lists.outside);
      writeFileSync(partition, content);
      await expect(openImageSplits(path, { partition })).rejects.toThrow(invalid(words));
    }
    await expect(openImageSplits(path, { partition: join(folder, 'gone.txt') })).rejects.toThrow(invalid('gone.txt'));
  });
});
