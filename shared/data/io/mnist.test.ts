import { describe, expect, it } from 'vitest';
import { MemoryStore } from '@thaw/shared/storage';
import { loadImages, verifyDataset } from '../inspection.js';
import { packDataset } from '../packing.js';
import { openMnist } from './mnist.js';

describe('MNIST', () => {
  it('packs whole into shards of padded digits', async () => {
    const store = new MemoryStore();
    const { manifest } = await packDataset(store, await openMnist(), {
      name: 'mnist',
      preprocessing: { method: 'pad', size: 32 },
      shardBytes: 4 * 1024 * 1024,
    });
    expect(manifest.imageShape).toEqual([32, 32, 1]);
    expect([manifest.splits.train.count, manifest.splits.test!.count]).toEqual([60_000, 10_000]);
    expect(manifest.splits.train.shards).toHaveLength(15);
    expect(manifest.quarantined).toEqual([]);
    expect((await verifyDataset(store, 'mnist')).ok).toBe(true);
    // The first training digit is the well-known five; a frame of two pixels is black.
    const { images, labels } = await loadImages(store, manifest, 'train', 0, 1);
    expect([...labels!]).toEqual([5]);
    const rows = Array.from({ length: 32 }, (_, y) =>
      Array.from(images.subarray(32 * y, 32 * y + 32), (v) => (v > 127 ? '#' : '.')).join(''),
    );
    expect(rows.join('\n')).toMatchSnapshot();
    expect(images.filter((_, i) => Math.floor(i / 32) < 2 || i % 32 < 2 || i % 32 > 29).every((v) => v === 0)).toBe(
      true,
    );
  });
});
