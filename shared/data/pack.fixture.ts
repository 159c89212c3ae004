/** Small data sets for tests. */
import { MemoryStore } from '@thaw/shared/storage';
import type { ObjectStore } from '@thaw/shared/storage';
import type { ImageSource } from './image-source.js';
import type { DatasetManifest } from './manifest.js';
import { packDataset } from './packing.js';

/** Grey images of `edge` x `edge`; all pixels of image i but the first are i mod 256, the first is i >> 8; label i. */
export function numberedSource(
  count: number,
  { edge = 2, bad = [] as readonly number[] } = {},
): ImageSource & { opened: number[] } {
  const opened: number[] = [];
  return {
    identity: `numbered:${count}:${edge}:${bad.join()}`,
    count,
    opened,
    async *items(from) {
      opened.push(from);
      for (let i = from; i < count; i++) {
        if (bad.includes(i)) {
          yield { kind: 'bad', name: `image ${i}`, reason: 'torn' };
          continue;
        }
        const pixels = new Uint8Array(edge * edge).fill(i & 255);
        pixels[0] = i >> 8;
        yield { kind: 'image', name: `image ${i}`, width: edge, height: edge, channels: 1, pixels, label: i };
      }
    },
  };
}

/** Number of an image of {@link numberedSource}. */
export const numberOf = (images: Uint8Array, row: number, edge = 2): number =>
  images[row * edge * edge]! * 256 + images[row * edge * edge + 1]!;

/** `count` numbered images of 2 x 2 in shards of `perShard`. */
export async function packNumbered(
  count: number,
  perShard: number,
  store: ObjectStore = new MemoryStore(),
): Promise<{ store: ObjectStore; manifest: DatasetManifest }> {
  const { manifest } = await packDataset(
    store,
    { train: numberedSource(count) },
    { name: 'numbered', preprocessing: { method: 'none' }, shardBytes: perShard * 4 },
  );
  return { store, manifest };
}
