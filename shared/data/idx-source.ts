/** Images and labels of IDX files as a source. Pure: bytes come from `io/`. */
import { ThawError } from '@thaw/shared/protocol';
import type { ImageSource } from './image-source.js';
import { parseIdx } from './idx.js';
import { sha256Hex } from './manifest.js';

export interface IdxFile {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/**
 * Grey images [n, H, W] or images [n, H, W, 1 or 3], with labels [n] if given.
 * @throws ThawError THAW_DATA_INVALID for files that are not that.
 */
export function idxSource(images: IdxFile, labels?: IdxFile): ImageSource {
  const { shape, data } = parseIdx(images.bytes, images.name);
  const [count, height, width, channels = 1] = shape as [number, number, number, number?];
  if (shape.length < 3 || shape.length > 4 || (channels !== 1 && channels !== 3) || height < 1 || width < 1)
    throw new ThawError(
      'THAW_DATA_INVALID',
      `${images.name} has the shape [${shape.join(', ')}]; want [n, height, width] or [n, height, width, 1 or 3].`,
    );
  const labelOf = labels && parseIdx(labels.bytes, labels.name);
  if (labelOf && (labelOf.shape.length !== 1 || labelOf.shape[0] !== count))
    throw new ThawError(
      'THAW_DATA_INVALID',
      `${labels!.name} has the shape [${labelOf.shape.join(', ')}]; ${images.name} holds ${count} images.`,
    );
  const size = height * width * channels;
  return {
    identity: `idx:${sha256Hex(images.bytes)}:${labels ? sha256Hex(labels.bytes) : 'no labels'}`,
    count,
    async *items(from) {
      for (let i = from; i < count; i++) {
        const image = {
          kind: 'image',
          name: `${images.name}#${i}`,
          width,
          height,
          channels,
          pixels: data.slice(i * size, (i + 1) * size),
        } as const;
        yield labelOf ? { ...image, label: labelOf.data[i]! } : image;
      }
    },
  };
}
