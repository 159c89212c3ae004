/** Images whose names are known before one of them is read: the files of a folder, the entries of a zip. */
import type { BadImage, ImageSource, SourceImage } from './image-source.js';
import { sha256Hex } from './manifest.js';
import { mapInOrder } from './ordered-work.js';

export interface ImageReading {
  /** Never rejects: what goes wrong with one image is that image's. */
  read(index: number): Promise<SourceImage | BadImage>;
  close(): Promise<void>;
}
export interface ImageList {
  /** Equal for equal content. */
  readonly identity: string;
  /** In the order in which they are read. */
  readonly names: readonly string[];
  open(): Promise<ImageReading>;
}

/** The order of images: that of their names' code units, wherever they are stored. */
export const byCodeUnits = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** All images of a list, or those with the numbers `picks`, of which `parallel` are read at the same time. */
export function listSource(list: ImageList, parallel: number, picks?: readonly number[]): ImageSource {
  const count = picks?.length ?? list.names.length;
  function* numbers(from: number): Generator<number> {
    for (let i = from; i < count; i++) yield picks?.[i] ?? i;
  }
  return {
    identity:
      picks === undefined
        ? list.identity
        : `${list.identity}[${sha256Hex(new TextEncoder().encode(JSON.stringify(picks)))}]`,
    count,
    async *items(from) {
      if (from >= count) return;
      const reading = await list.open();
      try {
        yield* mapInOrder(numbers(from), parallel, (index) => reading.read(index));
      } finally {
        await reading.close();
      }
    },
  };
}
