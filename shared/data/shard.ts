/** A shard: a safetensors file with `images` U8 [n, H, W, C] and, if known, `labels` I32 [n]. */
import { ThawError } from '@thaw/shared/protocol';
import { decodeSafetensors, encodeSafetensors } from '@thaw/shared/storage';
import { sha256Hex } from './manifest.js';
import type { ImageShape, Shard } from './manifest.js';

export interface ShardContent {
  readonly count: number;
  /** [count, H, W, C], row-major. */
  readonly images: Uint8Array;
  readonly labels?: Int32Array;
}

export function encodeShard(content: ShardContent, shape: ImageShape): Uint8Array {
  return encodeSafetensors({
    images: { dtype: 'U8', shape: [content.count, ...shape], data: content.images },
    ...(content.labels === undefined
      ? {}
      : { labels: { dtype: 'I32', shape: [content.count], data: content.labels } as const }),
  });
}

/** @throws ThawError THAW_DATA_CORRUPT when the bytes are not what the manifest says. */
export function decodeShard(
  bytes: Uint8Array,
  shard: Pick<Shard, 'key' | 'sha256' | 'count'>,
  shape: ImageShape,
): ShardContent {
  const corrupt = (problem: string): ThawError =>
    new ThawError('THAW_DATA_CORRUPT', `The shard ${shard.key} ${problem}.`);
  const digest = sha256Hex(bytes);
  if (digest !== shard.sha256) throw corrupt(`has SHA-256 ${digest}, its manifest says ${shard.sha256}`);
  const { images, labels } = decodeSafetensors(bytes).tensors;
  const want = [shard.count, ...shape];
  if (images === undefined || images.dtype !== 'U8' || images.shape.join() !== want.join())
    throw corrupt(`does not hold images [${want.join(', ')}] of 8 bits`);
  if (labels !== undefined && (labels.dtype !== 'I32' || labels.shape.join() !== String(shard.count)))
    throw corrupt('holds labels of a wrong shape');
  const content = { count: shard.count, images: images.data as Uint8Array };
  return labels === undefined ? content : { ...content, labels: labels.data as Int32Array };
}
