/** Where images come from before they are packed. */

/** One decoded 8-bit image. */
export interface SourceImage {
  readonly kind: 'image';
  /** Name within the source, for messages. */
  readonly name: string;
  readonly width: number;
  readonly height: number;
  readonly channels: 1 | 3;
  /** height * width * channels values, row by row, channels last. Owned by the receiver. */
  readonly pixels: Uint8Array;
  readonly label?: number;
}
/** One that could not be used. */
export interface BadImage {
  readonly kind: 'bad';
  readonly name: string;
  readonly reason: string;
}

/** A finite sequence of images in a fixed order. */
export interface ImageSource {
  /** Equal for equal content: what a resumed packing compares. */
  readonly identity: string;
  /** Items, bad ones included. */
  readonly count: number;
  /** The items from number `from` on, in order. */
  items(from: number): AsyncIterable<SourceImage | BadImage>;
}

/** Items `from .. to - 1` of a source: for a split in the order of the source, such as the first 90 % for training. */
export function sliceSource(source: ImageSource, from: number, to: number): ImageSource {
  const end = Math.min(to, source.count);
  return {
    identity: `${source.identity}[${from}:${end}]`,
    count: Math.max(0, end - from),
    async *items(skip) {
      let left = end - from - skip;
      if (left <= 0) return;
      for await (const item of source.items(from + skip)) {
        yield item;
        if (--left === 0) return;
      }
    },
  };
}
