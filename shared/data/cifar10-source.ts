/** Images and labels of CIFAR-10's binary files as a source. Pure: bytes come from `io/`. */
import { ThawError } from '@thaw/shared/protocol';
import type { IdxFile } from './idx-source.js';
import type { ImageSource } from './image-source.js';
import { sha256Hex } from './manifest.js';

const edge = 32;
const plane = edge * edge;
/** Label, then the red, green and blue plane. */
const recordBytes = 1 + 3 * plane;
const classes = 10;

/**
 * 32 x 32 colour images with labels 0..9; the records of all files, in the order of the files.
 * @throws ThawError THAW_DATA_INVALID for files that are not whole records, or hold a label that CIFAR-10 does not have
 */
export function cifar10Source(files: readonly IdxFile[]): ImageSource {
  for (const { name, bytes } of files) {
    if (bytes.byteLength === 0 || bytes.byteLength % recordBytes !== 0)
      throw new ThawError(
        'THAW_DATA_INVALID',
        `${name} has ${bytes.byteLength} bytes; a CIFAR-10 file has a whole number of records of ${recordBytes} bytes.`,
      );
    for (let at = 0; at < bytes.byteLength; at += recordBytes)
      if (bytes[at]! >= classes)
        throw new ThawError(
          'THAW_DATA_INVALID',
          `${name} has the label ${bytes[at]} at record ${at / recordBytes}; CIFAR-10 has the labels 0 to ${classes - 1}.`,
        );
  }
  const counts = files.map(({ bytes }) => bytes.byteLength / recordBytes);
  return {
    identity: `cifar10:${files.map(({ bytes }) => sha256Hex(bytes)).join(':')}`,
    count: counts.reduce((sum, count) => sum + count, 0),
    async *items(from) {
      let skip = from;
      for (const [f, { name, bytes }] of files.entries()) {
        for (let i = skip; i < counts[f]!; i++) {
          const record = bytes.subarray(i * recordBytes, (i + 1) * recordBytes);
          const pixels = new Uint8Array(3 * plane);
          for (let p = 0; p < plane; p++) for (let c = 0; c < 3; c++) pixels[p * 3 + c] = record[1 + c * plane + p]!;
          yield {
            kind: 'image',
            name: `${name}#${i}`,
            width: edge,
            height: edge,
            channels: 3,
            pixels,
            label: record[0]!,
          } as const;
        }
        skip = Math.max(0, skip - counts[f]!);
      }
    },
  };
}
