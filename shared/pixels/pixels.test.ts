import { describe, expect, it } from 'vitest';
import { pixelsToUnit, unitToPixels } from './pixels.js';

describe('pixels', () => {
  it('a round trip through [-1, 1] is exact for all 256 values', () => {
    const all = Uint8Array.from({ length: 256 }, (_, i) => i);
    expect(unitToPixels(pixelsToUnit(all))).toEqual(all);
    expect(pixelsToUnit(Uint8Array.of(0, 255))).toEqual(Float32Array.of(-1, 1));
    expect(pixelsToUnit(Uint8Array.of(127))[0]).toBe(Math.fround(Math.fround(Math.fround(127 / 255) * 2) - 1));
  });

  it('clamps, and NaN is black', () => {
    expect(Array.from(unitToPixels(Float32Array.of(-3, 3, NaN, Infinity)))).toEqual([0, 255, 0, 255]);
  });
});
