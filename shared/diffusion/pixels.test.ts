import { describe, expect, it } from 'vitest';
import { flipInPlace, pixelsToUnit, unitToPixels } from './pixels.js';

describe('pixels', () => {
  it('a round trip through [-1, 1] is exact for all 256 values', () => {
    const all = Uint8Array.from({ length: 256 }, (_, i) => i);
    expect(unitToPixels(pixelsToUnit(all))).toEqual(all);
    expect(pixelsToUnit(Uint8Array.of(0, 255))).toEqual(Float32Array.of(-1, 1));
  });

  it('clamps, and NaN is black', () => {
    expect(Array.from(unitToPixels(Float32Array.of(-3, 3, NaN, Infinity)))).toEqual([0, 255, 0, 255]);
  });

  it('flips one image of a batch', () => {
    const images = Float32Array.from({ length: 2 * 2 * 2 * 2 }, (_, i) => i);
    flipInPlace(images, 1, 2, 2);
    expect(Array.from(images)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 8, 9, 14, 15, 12, 13]);
    flipInPlace(images, 1, 2, 2);
    expect(Array.from(images)).toEqual(Array.from({ length: 16 }, (_, i) => i));
  });
});
