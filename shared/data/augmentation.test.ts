import { describe, expect, it } from 'vitest';
import { pixelsToUnit } from '@thaw/shared/pixels';
import { RandomStream } from '@thaw/shared/runtime';
import { augment, augmentBytes, centreBatch, drawAugment } from './augmentation.js';

/** Image r has the value 100 r + 10 y + x at (y, x). */
const shape = [5, 5, 1] as [number, number, 1];
const images = Uint8Array.from(
  { length: 50 },
  (_, i) => 100 * Math.floor(i / 25) + 10 * Math.floor((i % 25) / 5) + (i % 5),
);
const request = { images, shape, size: 3, flip: true, seed: 1, step: 2, lane: 3 };

describe('augment', () => {
  it('cuts and flips each image as drawn for its row', () => {
    const out = augment(request);
    const want: number[] = [];
    for (let row = 0; row < 2; row++) {
      const { top, left, flip } = drawAugment(new RandomStream(1, 'augment', 2, 3, row), shape, 3, true);
      for (let y = 0; y < 3; y++)
        for (let x = 0; x < 3; x++) want.push(100 * row + 10 * (top + y) + left + (flip ? 2 - x : x));
    }
    expect(out).toEqual(pixelsToUnit(Uint8Array.from(want)));
  });

  it('is keyed by seed, step, lane and row, not by the batch around it', () => {
    const second = augment({
      ...request,
      images: Uint8Array.from([...images.subarray(25), ...images.subarray(25)]),
    }).subarray(9);
    expect(augment(request).subarray(9)).toEqual(second);
    const variants = Array.from({ length: 40 }, (_, i) => [{ seed: i }, { step: i }, { lane: i }]).flat();
    const seen = new Set(variants.map((change) => augment({ ...request, ...change }).join()));
    expect(seen.size).toBeGreaterThan(20);
  });

  it('keeps the channels of a pixel together', () => {
    const colour = Uint8Array.from({ length: 48 }, (_, i) => i); // 4 x 4 x 3: pixel p is 3p, 3p + 1, 3p + 2
    for (let step = 0; step < 8; step++) {
      const bytes = augmentBytes({ ...request, images: colour, shape: [4, 4, 3], step });
      for (let i = 0; i < bytes.length; i += 3)
        expect([bytes[i]! % 3, bytes[i + 1]! - bytes[i]!, bytes[i + 2]! - bytes[i]!]).toEqual([0, 1, 2]);
    }
  });

  it('reaches every offset and both directions; flips only when asked', () => {
    const draws = Array.from({ length: 400 }, (_, row) =>
      drawAugment(new RandomStream(1, 'augment', 0, 0, row), shape, 3, true),
    );
    expect(new Set(draws.map(({ top, left, flip }) => `${top},${left},${flip}`)).size).toBe(18);
    const without = Array.from({ length: 400 }, (_, row) =>
      drawAugment(new RandomStream(1, 'augment', 0, 0, row), shape, 3, false),
    );
    expect(without.every(({ flip }) => !flip)).toBe(true);
    expect(without.map(({ top }) => top)).toEqual(draws.map(({ top }) => top));
  });

  it('refuses crops larger than the image and torn batches', () => {
    expect(() => augment({ ...request, size: 6 })).toThrow(expect.objectContaining({ code: 'THAW_DATA_INVALID' }));
    expect(() => augment({ ...request, images: images.subarray(1) })).toThrow(RangeError);
  });
});

describe('centreBatch', () => {
  it('cut the centre and scale to [-1, 1] in float32', () => {
    expect(centreBatch({ images: images.subarray(0, 25), shape, size: 3 })).toEqual(
      pixelsToUnit(Uint8Array.of(11, 12, 13, 21, 22, 23, 31, 32, 33)),
    );
  });
});
