/** From stored uint8 images to what the network is trained on: crop, flip, colours, range. Pure; every draw is keyed. */
import { pixelsToUnit } from '@thaw/shared/pixels';
import { ThawError } from '@thaw/shared/protocol';
import { RandomStream } from '@thaw/shared/runtime';
import type { DrawPurpose } from '@thaw/shared/runtime';
import { halfToEven } from './preparation.js';
import { randomAug } from './random-aug.js';
import type { ImageShape } from './manifest.js';

/** Where one image is cut and whether it is mirrored left to right. */
export interface AugmentDraw {
  readonly top: number;
  readonly left: number;
  readonly flip: boolean;
}

/** The draws of one image: three in fixed order (top, left, flip), whatever is used of them. */
export function drawAugment(stream: RandomStream, shape: ImageShape, size: number, allowFlip: boolean): AugmentDraw {
  const top = stream.below(shape[0] - size + 1);
  const left = stream.below(shape[1] - size + 1);
  const flip = stream.uniform() < 0.5;
  return { top, left, flip: flip && allowFlip };
}

/** What every image of a batch of one lane has in common. */
export interface AugmentRequest {
  /** Stored images, uint8 [n, H, W, C]. */
  readonly images: Uint8Array;
  readonly shape: ImageShape;
  /** Edge of the square that is cut, at most H and W. */
  readonly size: number;
  readonly flip: boolean;
  /** Run file `data.augment`; random-crop unless given. */
  readonly method?: 'random-crop' | 'centre-crop' | 'random-aug' | undefined;
  /** Which draws are used; `augment` unless given. */
  readonly purpose?: Extract<DrawPurpose, 'augment' | 'partner-augment'>;
  readonly seed: number;
  readonly step: number;
  readonly lane: number;
}

/** Training batch: cut and, if asked for, mirrored at random, keyed by (seed, step, lane, row). Uint8 [n, size, size, C], a new array. */
export function augmentBytes(request: AugmentRequest): Uint8Array {
  const { seed, step, lane, shape, size, flip, method = 'random-crop', purpose = 'augment' } = request;
  const stream = (row: number): RandomStream => new RandomStream(seed, purpose, step, lane, row);
  if (method === 'random-aug') return randomAugBatch(request, stream);
  const centre = { top: halfToEven(shape[0] - size), left: halfToEven(shape[1] - size) };
  return cutBatch(request, (row) => {
    const draw = drawAugment(stream(row), shape, size, flip);
    return method === 'centre-crop' ? { ...draw, ...centre } : draw;
  });
}

function randomAugBatch({ images, shape, size }: BatchRequest, stream: (row: number) => RandomStream): Uint8Array {
  const [height, width, channels] = shape;
  const stride = height * width * channels;
  const rows = rowsOf(images, shape);
  const out = new Uint8Array(rows * size * size * channels);
  for (let row = 0; row < rows; row++) {
    const image = { width, height, channels, pixels: images.subarray(row * stride, (row + 1) * stride) };
    out.set(randomAug(image, size, stream(row)).pixels, row * size * size * channels);
  }
  return out;
}

function rowsOf(images: Uint8Array, [height, width, channels]: ImageShape): number {
  const rows = images.length / (height * width * channels);
  if (!Number.isInteger(rows))
    throw new RangeError(`${images.length} bytes are not a whole number of ${height} x ${width} x ${channels} images.`);
  return rows;
}

/** {@link augmentBytes} as float32 in [-1, 1]. */
export const augment = (request: AugmentRequest): Float32Array => pixelsToUnit(augmentBytes(request));

/** Evaluation batch: centre crop with the official offset. Uint8 [n, size, size, C], a new array. */
export function centreBytes(request: BatchRequest): Uint8Array {
  const { shape, size } = request;
  const draw = { top: halfToEven(shape[0] - size), left: halfToEven(shape[1] - size), flip: false };
  return cutBatch(request, () => draw);
}

/** {@link centreBytes} as float32 in [-1, 1]. */
export const centreBatch = (request: BatchRequest): Float32Array => pixelsToUnit(centreBytes(request));

export type BatchRequest = Pick<AugmentRequest, 'images' | 'shape' | 'size'>;

/** Cuts a square out of every image, mirrored left to right where its draw says so. Uint8 [n, size, size, C], a new array. */
export function cutBatch({ images, shape, size }: BatchRequest, drawOf: (row: number) => AugmentDraw): Uint8Array {
  const [height, width, channels] = shape;
  const stride = height * width * channels;
  if (size > height || size > width)
    throw new ThawError(
      'THAW_DATA_INVALID',
      `The stored images are ${height} x ${width}; crops of ${size} x ${size} cannot be cut from them.`,
    );
  const rows = rowsOf(images, shape);
  const out = new Uint8Array(rows * size * size * channels);
  let to = 0;
  for (let row = 0; row < rows; row++) {
    const { top, left, flip } = drawOf(row);
    for (let y = 0; y < size; y++, to += size * channels) {
      const line = row * stride + ((top + y) * width + left) * channels;
      if (!flip) {
        out.set(images.subarray(line, line + size * channels), to);
        continue;
      }
      for (let x = 0; x < size; x++)
        for (let c = 0; c < channels; c++) out[to + x * channels + c] = images[line + (size - 1 - x) * channels + c]!;
    }
  }
  return out;
}
