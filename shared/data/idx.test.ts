import { gzipSync } from 'node:zlib';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ThawError } from '@thaw/shared/protocol';
import type { ImageSource, SourceImage } from './image-source.js';
import { sliceSource } from './image-source.js';
import { parseIdx } from './idx.js';
import { idxSource } from './idx-source.js';
import { openIdx } from './io/idx-files.js';

function idx(shape: readonly number[], data: readonly number[], type = 8): Uint8Array {
  const bytes = new Uint8Array(4 + 4 * shape.length + data.length);
  bytes.set([0, 0, type, shape.length]);
  const view = new DataView(bytes.buffer);
  shape.forEach((edge, i) => view.setUint32(4 + 4 * i, edge));
  bytes.set(data, 4 + 4 * shape.length);
  return bytes;
}
const invalid = expect.objectContaining({ code: 'THAW_DATA_INVALID' }) as Error;
const images = idx([3, 1, 2], [1, 2, 3, 4, 5, 6]);
const labels = idx([3], [7, 8, 9]);
async function collect(source: ImageSource, from = 0): Promise<SourceImage[]> {
  const out: SourceImage[] = [];
  for await (const item of source.items(from)) if (item.kind === 'image') out.push(item);
  return out;
}

describe('parseIdx', () => {
  it('reads shape and data', () => {
    expect(parseIdx(images, 'x')).toEqual({ shape: [3, 1, 2], data: Uint8Array.of(1, 2, 3, 4, 5, 6) });
  });

  it.each([
    ['empty', new Uint8Array()],
    ['not IDX', new TextEncoder().encode('<html></html>')],
    ['another type', idx([1], [0], 0x0d)],
    ['no dimensions', idx([], [1])],
    ['header cut', images.subarray(0, 9)],
    ['data cut', images.subarray(0, -1)],
    ['bytes left over', Uint8Array.from([...images, 0])],
    ['a shape far beyond the data', idx([0xffffffff, 0xffffffff, 0xffffffff], [1])],
  ])('refuses: %s', (_, bytes) => {
    expect(() => parseIdx(bytes, 'x')).toThrow(invalid);
  });

  it('answers any bytes with a tensor or a coded error', () => {
    const anything = fc.oneof(
      fc.uint8Array({ maxLength: 64 }),
      fc.uint8Array({ maxLength: 64 }).map((tail) => Uint8Array.from([0, 0, 8, ...tail])),
    );
    fc.assert(
      fc.property(anything, (bytes) => {
        try {
          const { shape, data } = parseIdx(bytes, 'x');
          return data.length === shape.reduce((product, edge) => product * edge, 1);
        } catch (error) {
          return error instanceof ThawError;
        }
      }),
    );
  });
});

describe('idxSource', () => {
  const file = (name: string, bytes: Uint8Array) => ({ name, bytes });

  it('gives images with labels, from any item on', async () => {
    const source = idxSource(file('i', images), file('l', labels));
    expect(source.count).toBe(3);
    expect(await collect(source, 1)).toEqual([
      { kind: 'image', name: 'i#1', width: 2, height: 1, channels: 1, pixels: Uint8Array.of(3, 4), label: 8 },
      { kind: 'image', name: 'i#2', width: 2, height: 1, channels: 1, pixels: Uint8Array.of(5, 6), label: 9 },
    ]);
    expect((await collect(idxSource(file('i', images))))[0]).not.toHaveProperty('label');
  });

  it('refuses shapes that are no images and labels that do not belong to them', () => {
    expect(() => idxSource(file('i', labels))).toThrow(invalid);
    expect(() => idxSource(file('i', idx([1, 1, 1, 2], [1, 2])))).toThrow(invalid);
    expect(() => idxSource(file('i', images), file('l', idx([2], [1, 2])))).toThrow(invalid);
    expect(() => idxSource(file('i', images), file('l', images))).toThrow(invalid);
  });

  it('is sliced', async () => {
    const source = idxSource(file('i', images), file('l', labels));
    const middle = sliceSource(source, 1, 2);
    expect([middle.count, (await collect(middle)).map(({ label }) => label), await collect(middle, 1)]).toEqual([
      1,
      [8],
      [],
    ]);
    expect((await collect(sliceSource(source, 1, 99))).map(({ label }) => label)).toEqual([8, 9]);
    expect(middle.identity).not.toBe(source.identity);
  });
});

describe('openIdx', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'thaw-idx-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  it('reads plain and gzip files alike', async () => {
    await writeFile(join(folder, 'plain'), images);
    await writeFile(join(folder, 'packed.gz'), gzipSync(images));
    const pixels = async (name: string) =>
      (await collect(await openIdx(join(folder, name)))).map((image) => [...image.pixels]);
    expect(await pixels('packed.gz')).toEqual(await pixels('plain'));
  });

  it('answers missing and torn files with a coded error', async () => {
    await writeFile(join(folder, 'torn.gz'), gzipSync(images).subarray(0, -9));
    await expect(openIdx(join(folder, 'nowhere'))).rejects.toThrow(invalid);
    await expect(openIdx(join(folder, 'torn.gz'))).rejects.toThrow(invalid);
    await expect(openIdx(folder)).rejects.toThrow(invalid);
  });
});
