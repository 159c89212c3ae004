import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { MemoryStore } from '@thaw/shared/storage';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { BadImage, ImageSource, SourceImage } from '../image-source.js';
import { loadImages } from '../inspection.js';
import { packDataset } from '../packing.js';
import { openImageSplits, type ImageSplitOptions } from './image-splits.js';
import { parquetFile } from './parquet.fixture.js';

let folder: string;
let count = 0;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'thaw-parquet-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

type Fixture = Parameters<typeof parquetFile>[0];
/** A folder of its own with these files. */
function write(files: Readonly<Record<string, Fixture | Uint8Array>>): string {
  const place = join(folder, `${count++}`);
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(place, name)), { recursive: true });
    writeFileSync(join(place, name), typeof content === 'string' ? parquetFile(content) : content);
  }
  return place;
}
const file = (content: Fixture | Uint8Array): string => join(write({ 'images.parquet': content }), 'images.parquet');
async function items(source: ImageSource, from = 0): Promise<(SourceImage | BadImage)[]> {
  const out: (SourceImage | BadImage)[] = [];
  for await (const item of source.items(from)) out.push(item);
  return out;
}
const read = async (path: string, options?: ImageSplitOptions) => items((await openImageSplits(path, options)).train);
const colours = (all: readonly (SourceImage | BadImage)[]) =>
  all.map((item) => (item.kind === 'bad' ? item.reason : [...item.pixels.subarray(0, 3)].join()));
const [red, green, blue] = ['255,0,0', '0,255,0', '0,0,255'];
const invalid = (words: string) =>
  expect.objectContaining({ code: 'THAW_DATA_INVALID', message: expect.stringContaining(words) as string }) as Error;

describe('parquet with a column of images', () => {
  it('reads structs of bytes and path, with labels, over groups of rows, from any row on', async () => {
    const path = file('faces');
    const all = await read(path);
    expect(all.map(({ name }) => name)).toEqual([
      'red.png',
      'images.parquet#1',
      'torn.png',
      'images.parquet#3',
      'elsewhere.png',
      'images.parquet#5',
    ]);
    expect(colours(all)).toEqual([
      red,
      green,
      expect.stringContaining('unsupported image format'),
      'The row has no image.',
      'The row has the name of an image only.',
      blue,
    ]);
    expect(all.map((item) => item.kind === 'image' && item.label)).toEqual([1, -1, false, false, false, 2 ** 31 - 1]);
    expect(all[0]).toMatchObject({ width: 3, height: 2, channels: 3 });
    const { train } = await openImageSplits(path, { parallel: 1 });
    for (const from of [0, 1, 2, 5, 6]) expect(await items(train, from)).toEqual(all.slice(from));
  });

  it('reads plain columns, other codecs, and the columns it is told', async () => {
    expect(colours(await read(file('plain')))).toEqual([red, blue]);
    const labelled = await read(file('plain'), { image: 'picture', label: 'kind' });
    expect(labelled.map((item) => item.kind === 'image' && item.label)).toEqual([7, 8]);
    expect(colours(await read(file('brotli')))).toEqual([green]);
    expect(colours(await read(file('two'), { image: 'right' }))).toEqual([red]);
    expect(colours(await read(file('far')))).toEqual(['The label 2147483648 is beyond 32 bits.']);
    expect(colours(await read(file('two'), { image: 'left', maxFileBytes: 10 }))).toEqual([
      expect.stringMatching(/^The image has \d+ bytes; at most 10 are read.$/),
    ]);
  });

  it('takes the files of a folder as one source, in the order of their names', async () => {
    const place = write({
      'b.parquet': 'plain',
      'a/c.parquet': 'plain',
      '.hidden/x.parquet': 'lz4',
      'README.md': 'lz4',
    });
    const { train, test } = await openImageSplits(place);
    expect([train.count, test]).toEqual([4, undefined]);
    const all = await items(train);
    expect(all.map(({ name }) => name)).toEqual(['c.parquet#0', 'c.parquet#1', 'b.parquet#0', 'b.parquet#1']);
    for (const from of [1, 2, 3]) expect(await items(train, from)).toEqual(all.slice(from));
  });

  it('takes the splits that the names of the files say', async () => {
    const files = {
      'data/train-00000-of-00001.parquet': 'plain',
      'data/validation-00000-of-00001.parquet': 'brotli',
      'data/test-00000-of-00001.parquet': 'two',
    } as const;
    const place = write({ ...files, 'data/test-00000-of-00001.parquet': 'brotli' });
    const { train, test, leftOut } = await openImageSplits(place);
    expect([train.count, test?.count, leftOut]).toEqual([2, 1, 1]);
    expect(colours(await items(test!))).toEqual([green]);
    expect((await openImageSplits(place, { partition: false })).train.count).toBe(4);
    expect(
      await openImageSplits(write({ ...files, 'other.parquet': 'plain' }), { partition: false, image: 'x' }).catch(
        (error: Error) => error.message,
      ),
    ).toContain('has no column "x"');
  });

  it('is packed, resumed after a stop to the same bytes, with bad rows in quarantine', async () => {
    const path = file('faces');
    const options = { name: 'faces', preprocessing: { method: 'none' }, shardBytes: 18, maxBadShare: 0.9 } as const;
    const whole = await packDataset(new MemoryStore(), await openImageSplits(path), options);
    expect(whole.manifest).toMatchObject({ imageShape: [2, 3, 3], splits: { train: { count: 3, quarantined: 3 } } });
    expect(whole.manifest.quarantined.map(({ name }) => name)).toEqual([
      'torn.png',
      'images.parquet#3',
      'elsewhere.png',
    ]);
    const store = new MemoryStore();
    const stop = new AbortController();
    await expect(
      packDataset(store, await openImageSplits(path), {
        ...options,
        signal: stop.signal,
        onProgress: ({ shards }) => shards === 2 && stop.abort(new Error('stopped')),
      }),
    ).rejects.toThrow('stopped');
    const { manifest, resumedShards } = await packDataset(store, await openImageSplits(path), options);
    expect([resumedShards, manifest.contentSha256]).toEqual([2, whole.manifest.contentSha256]);
    expect([...(await loadImages(store, manifest, 'train', 0, 3)).labels!]).toEqual([1, -1, 2 ** 31 - 1]);
  });
});

describe('what is refused, before any image is read', () => {
  it('names the columns that are there', async () => {
    await expect(read(file('texts'))).rejects.toThrow(
      invalid('has no column of images. Its columns: caption (STRING), label (INT64), pixels (struct of list).'),
    );
    await expect(read(file('two'))).rejects.toThrow(
      invalid('has several columns that may be images. Its columns: left (BYTE_ARRAY), right (BYTE_ARRAY).'),
    );
    const asked: [Fixture, ImageSplitOptions, string][] = [
      ['plain', { image: 'photo' }, 'has no column "photo". Its columns: picture (BYTE_ARRAY)'],
      ['plain', { image: 'caption' }, 'has no images in the column "caption"'],
      ['plain', { label: 'class' }, 'has no column "class"'],
      ['plain', { label: 'caption' }, 'has no whole numbers in the column "caption"'],
    ];
    for (const [fixture, options, words] of asked)
      await expect(read(file(fixture), options)).rejects.toThrow(invalid(words));
  });

  it('says what a file is instead, or how it is compressed', async () => {
    const whole = parquetFile('faces');
    const footer = new DataView(whole.buffer).getUint32(whole.length - 8, true) + 8;
    const cases: [Fixture | Uint8Array, string][] = [
      ['lz4', 'is compressed with LZ4_RAW; UNCOMPRESSED, '],
      ['empty', 'there are no rows'],
      [new TextEncoder().encode('this is a text, not parquet'), 'it does not begin with PAR1'],
      [new Uint8Array(3), 'it has 3 bytes only'],
      [whole.slice(0, 700), 'cannot be read as parquet'],
      [whole.slice(300), 'it does not begin with PAR1'],
      [Uint8Array.from([...whole.slice(0, 4), ...whole.slice(-footer)]), 'groups of rows do not fit it'],
    ];
    for (const [content, words] of cases) await expect(read(file(content))).rejects.toThrow(invalid(words));
    await expect(read(file('faces'), { maxGroupBytes: 100 })).rejects.toThrow(invalid('has a group of rows of'));
    await expect(read(file('faces'), { partition: 'list.txt' })).rejects.toThrow(invalid('list.txt lists files'));
  });

  it('refuses other files, and a folder of two kinds', async () => {
    await expect(read(join(write({ 'images.tar': 'plain' }), 'images.tar'))).rejects.toThrow(
      invalid('is no source of images'),
    );
    await expect(read(join(folder, 'nowhere'))).rejects.toThrow(invalid('ENOENT'));
    const image = await sharp(Buffer.alloc(12), { raw: { width: 2, height: 2, channels: 3 } })
      .png()
      .toBuffer();
    await expect(read(write({ 'a.parquet': 'plain', 'b.png': image }))).rejects.toThrow(
      invalid('holds 1 parquet files and 1 image files'),
    );
  });

  it.skipIf('zstdDecompressSync' in process.getBuiltinModule('node:zlib'))(
    'names the Node that reads ZSTD',
    async () => {
      await expect(read(file('zstd'))).rejects.toMatchObject({
        message: expect.stringContaining('is compressed with ZSTD') as string,
        cure: expect.stringContaining('Node 22.15') as string,
      });
    },
  );

  it('reads any damaged file to images, bad images, or a coded sentence', async () => {
    const whole = parquetFile('faces');
    const path = file('faces');
    const torn: string[] = [];
    for (let at = 0; at < whole.length; at += 17) {
      const damaged = whole.slice();
      damaged[at]! ^= 0x5a;
      writeFileSync(path, damaged);
      try {
        for (const item of await read(path)) expect(['image', 'bad']).toContain(item.kind);
      } catch (error) {
        expect(error).toMatchObject({ code: 'THAW_DATA_INVALID' });
        torn.push((error as Error).message);
      }
    }
    expect(torn.some((message) => /group \d of its rows \(\d to \d\) is torn/.test(message))).toBe(true);
    expect(torn.some((message) => message.includes('cannot be read as parquet'))).toBe(true);
  });
});
