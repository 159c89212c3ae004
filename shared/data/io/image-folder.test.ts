import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MemoryStore } from '@thaw/shared/storage';
import type { BadImage, SourceImage } from '../image-source.js';
import { packDataset } from '../packing.js';
import { openImageFolder } from './image-folder.js';
import type { ImageLimits } from './decode-image.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'thaw-folder-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function make(name: string, files: Record<string, Uint8Array | string>): Promise<string> {
  for (const [path, bytes] of Object.entries(files)) {
    await mkdir(join(folder, name, path, '..'), { recursive: true });
    await writeFile(join(folder, name, path), bytes);
  }
  return join(folder, name);
}
const rgb = (width: number, height: number, value: number[]) =>
  sharp(
    Buffer.from(
      Array(width * height)
        .fill(value)
        .flat(),
    ),
    { raw: { width, height, channels: 3 } },
  );
async function items(path: string, options?: ImageLimits, from = 0): Promise<(SourceImage | BadImage)[]> {
  const out: (SourceImage | BadImage)[] = [];
  for await (const item of (await openImageFolder(path, options)).items(from)) out.push(item);
  return out;
}

describe('openImageFolder', () => {
  it('finds images at any depth in the order of their names, from any item on', async () => {
    const png = await rgb(2, 1, [10, 20, 30]).png().toBuffer();
    const path = await make('order', {
      'b.png': png,
      'a/z.PNG': png,
      'a/b/c.png': png,
      'a-1.png': png,
      'notes.txt': 'x',
      '.hidden.png': png,
      '.git/x.png': png,
    });
    const all = await items(path);
    expect(all.map(({ name }) => name)).toEqual(['a-1.png', 'a/b/c.png', 'a/z.PNG', 'b.png']);
    expect(all[0]).toMatchObject({
      kind: 'image',
      width: 2,
      height: 1,
      channels: 3,
      pixels: Uint8Array.of(10, 20, 30, 10, 20, 30),
    });
    expect((await items(path, { parallel: 1 }, 2)).map(({ name }) => name)).toEqual(['a/z.PNG', 'b.png']);
  });

  it('decodes colour, grey, palette, 16 bit, transparent and rotated images to 8 bits', async () => {
    const grey = sharp(Buffer.of(0, 100, 200, 255), { raw: { width: 2, height: 2, channels: 1 } }).toColourspace('b-w');
    const path = await make('kinds', {
      '1-grey.png': await grey.png().toBuffer(),
      '2-palette.png': await rgb(2, 2, [255, 0, 0]).png({ palette: true }).toBuffer(),
      '3-deep.png': await rgb(2, 2, [1, 2, 3]).toColourspace('rgb16').png().toBuffer(),
      '4-clear.png': await sharp(Buffer.of(9, 9, 9, 0, 9, 9, 9, 255), { raw: { width: 2, height: 1, channels: 4 } })
        .png()
        .toBuffer(),
      '5-turned.jpg': await rgb(4, 2, [50, 50, 50]).jpeg().withMetadata({ orientation: 6 }).toBuffer(),
      '6-grey.jpg': await sharp(Buffer.alloc(64, 77), { raw: { width: 8, height: 8, channels: 1 } })
        .toColourspace('b-w')
        .jpeg()
        .toBuffer(),
    });
    const all = (await items(path)) as SourceImage[];
    expect(all.map(({ kind, channels, width, height }) => [kind, channels, width, height])).toEqual([
      ['image', 1, 2, 2],
      ['image', 3, 2, 2],
      ['image', 3, 2, 2],
      ['image', 3, 2, 1],
      ['image', 3, 2, 4],
      ['image', 1, 8, 8],
    ]);
    expect([...all[0]!.pixels]).toEqual([0, 100, 200, 255]);
    expect([...all[1]!.pixels.slice(0, 3)]).toEqual([255, 0, 0]);
    expect([...all[2]!.pixels.slice(0, 3)]).toEqual([1, 2, 3]);
    expect([...all[3]!.pixels]).toEqual([0, 0, 0, 9, 9, 9]);
    expect(all[5]!.pixels.every((value) => Math.abs(value - 77) <= 1)).toBe(true);
  });

  it('names what cannot be used, and packs the rest', async () => {
    const good = await rgb(30, 30, [1, 2, 3]).jpeg().toBuffer();
    const noise = Uint8Array.from({ length: 64 * 64 * 3 }, (_, i) => Math.imul(i, 2654435761) >>> 24);
    const long = await sharp(noise, { raw: { width: 64, height: 64, channels: 3 } })
      .jpeg()
      .toBuffer();
    // Four million pixels in a few kilobytes.
    const bomb = await rgb(2000, 2000, [0, 0, 0]).png({ compressionLevel: 9 }).toBuffer();
    expect(bomb.length).toBeLessThan(40_000);
    const path = await make('bad', {
      'a.jpg': good,
      'b-torn.jpg': long.subarray(0, long.length / 2),
      'c-text.png': 'this is no image',
      'd-empty.png': '',
      'e-bomb.png': bomb,
      'f-large.png': new Uint8Array(50_000),
      'g.jpg': good,
    });
    const all = await items(path, { maxFileBytes: 40_000, maxPixels: 1_000_000 });
    expect(all.map(({ kind, name }) => `${kind} ${name}`)).toEqual([
      'image a.jpg',
      'bad b-torn.jpg',
      'bad c-text.png',
      'bad d-empty.png',
      'bad e-bomb.png',
      'bad f-large.png',
      'image g.jpg',
    ]);
    for (const item of all) if (item.kind === 'bad') expect(item.reason.length).toBeGreaterThan(5);
    const { manifest } = await packDataset(
      new MemoryStore(),
      { train: await openImageFolder(path, { maxFileBytes: 40_000, maxPixels: 1_000_000 }) },
      {
        name: 'folder',
        preprocessing: { method: 'pillow-bilinear', size: 8 },
        maxBadShare: 0.9,
      },
    );
    expect(manifest).toMatchObject({ imageShape: [8, 8, 3], splits: { train: { count: 2, quarantined: 5 } } });
    expect(manifest.quarantined.map(({ name }) => name)).toEqual([
      'b-torn.jpg',
      'c-text.png',
      'd-empty.png',
      'e-bomb.png',
      'f-large.png',
    ]);
  });

  it('refuses folders without images with a coded error', async () => {
    const invalid = expect.objectContaining({ code: 'THAW_DATA_INVALID' }) as Error;
    await expect(openImageFolder(join(folder, 'nowhere'))).rejects.toThrow(invalid);
    await expect(openImageFolder(await make('none', { 'a.txt': 'x' }))).rejects.toThrow(invalid);
  });

  it('has an identity that changes with the files', async () => {
    const png = await rgb(2, 1, [1, 1, 1]).png().toBuffer();
    const path = await make('identity', { 'a.png': png });
    const before = (await openImageFolder(path)).identity;
    expect((await openImageFolder(path)).identity).toBe(before);
    await make('identity', { 'b.png': png });
    expect((await openImageFolder(path)).identity).not.toBe(before);
  });
});
