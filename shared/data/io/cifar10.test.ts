import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SourceImage } from '../image-source.js';
import { openCifar10 } from './cifar10.js';

const recordBytes = 3073;
/** Records with label i mod 10, red 10 f + i, green the row, blue the column. */
function batch(file: number, count: number): Uint8Array {
  const bytes = new Uint8Array(count * recordBytes);
  for (let i = 0; i < count; i++)
    for (let p = 0; p < 1024; p++) {
      const at = i * recordBytes;
      bytes[at] = i % 10;
      bytes[at + 1 + p] = 10 * file + i;
      bytes[at + 1025 + p] = Math.floor(p / 32);
      bytes[at + 2049 + p] = p % 32;
    }
  return bytes;
}

let folder: string;
let inner: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'thaw-cifar-'));
  inner = join(folder, 'cifar-10-batches-bin');
  mkdirSync(inner);
  for (let f = 1; f <= 5; f++) writeFileSync(join(inner, `data_batch_${f}.bin`), batch(f, 3));
  writeFileSync(join(inner, 'test_batch.bin'), batch(0, 2));
});
afterAll(() => rmSync(folder, { recursive: true }));

const read = async (from: number): Promise<SourceImage[]> => {
  const images: SourceImage[] = [];
  for await (const item of (await openCifar10(folder)).train.items(from)) images.push(item as SourceImage);
  return images;
};

describe('openCifar10', () => {
  it('reads planes as pixels, the files in order, from anywhere', async () => {
    const all = await read(0);
    expect(all).toHaveLength(15);
    const image = all[7]!; // the second of data_batch_3
    expect(image).toMatchObject({ name: 'data_batch_3.bin#1', width: 32, height: 32, channels: 3, label: 1 });
    expect([...image.pixels.subarray(3 * 37, 3 * 38)]).toEqual([31, 1, 5]);
    for (const from of [0, 1, 3, 4, 14, 15]) expect(await read(from)).toEqual(all.slice(from));
    const { train, test } = await openCifar10(inner);
    expect([train.count, test.count]).toEqual([15, 2]);
    expect(train.identity).not.toBe(test.identity);
  });

  it('names what is wrong', async () => {
    await expect(openCifar10(join(folder, 'elsewhere'))).rejects.toThrow('lacks data_batch_1.bin');
    const path = join(inner, 'test_batch.bin');
    writeFileSync(path, batch(0, 2).subarray(1));
    await expect(openCifar10(folder)).rejects.toThrow('test_batch.bin has 6145 bytes');
    const wrong = batch(0, 2);
    wrong[recordBytes] = 10;
    writeFileSync(path, wrong);
    await expect(openCifar10(folder)).rejects.toThrow('the label 10 at record 1');
    writeFileSync(path, batch(0, 2));
  });
});
