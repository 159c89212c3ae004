import { createHash } from 'node:crypto';
import { RandomStream } from '@thaw/shared/runtime';
import { describe, expect, it } from 'vitest';
import { augmentBytes } from './augmentation.js';
import { adjustBrightness, adjustContrast, adjustHue, adjustSaturation } from './colour-jitter.js';
import type { ImagePixels } from './preparation.js';
import { drawPiece, randomAug } from './random-aug.js';

const size = 48;
const pixels = Uint8Array.from({ length: size * size * 3 }, (_, i) => i * 7919 + (i >> 3) * 31);
const image: ImagePixels = { width: size, height: size, channels: 3, pixels };

describe('colour jitter', () => {
  // Digests of Pillow 13.0.0 on the same image.
  it.each([
    ['brightness', adjustBrightness, 0.31, 'cc94b2405b8e1d67'],
    ['brightness', adjustBrightness, 1.7, '600861633aade69d'],
    ['contrast', adjustContrast, 0.4, 'fd88ebafbfa684a7'],
    ['contrast', adjustContrast, 1.65, '8a6c0113ed099d3a'],
    ['saturation', adjustSaturation, 0.25, '188beb6e01100f6a'],
    ['saturation', adjustSaturation, 1.55, '448641318ca9bec7'],
    ['hue', adjustHue, -0.17, 'fde0c1cc1ee3d46f'],
    ['hue', adjustHue, 0.2, '7da428df6110483d'],
  ] as const)('%s is that of Pillow, bit for bit', (_, change, by, digest) => {
    expect(createHash('sha256').update(change(image, by).pixels).digest('hex').slice(0, 16)).toBe(digest);
  });

  it('leaves the saturation and hue of grey images', () => {
    const flat: ImagePixels = { width: 4, height: 2, channels: 1, pixels: Uint8Array.of(1, 9, 80, 255, 0, 3, 44, 200) };
    expect(adjustSaturation(flat, 0.3).pixels).toEqual(flat.pixels);
    expect(adjustHue(flat, 0.2).pixels).toEqual(flat.pixels);
    expect(adjustContrast(flat, 0).pixels).toEqual(new Uint8Array(8).fill(74));
  });
});

describe('random-aug', () => {
  it('draws pieces of 8 to 100 % of the area between 3:4 and 4:3, inside the image', () => {
    const shares: number[] = [];
    for (let row = 0; row < 500; row++) {
      const { left, top, width, height } = drawPiece(new RandomStream(1, 'augment', 0, 0, row), 60, 48);
      expect(left >= 0 && top >= 0 && left + width <= 60 && top + height <= 48).toBe(true);
      expect(width / height).toBeGreaterThan(0.7);
      expect(width / height).toBeLessThan(1.42);
      shares.push((width * height) / (60 * 48));
    }
    expect(Math.min(...shares)).toBeLessThan(0.15);
    expect(Math.max(...shares)).toBeGreaterThan(0.8);
    expect(Math.min(...shares)).toBeGreaterThan(0.07);
  });

  it('takes the middle where no draw fits', () => {
    expect(drawPiece(new RandomStream(1, 'augment'), 4, 400)).toEqual({ left: 0, top: 197, width: 4, height: 5 });
  });

  it('changes one image in five in place and size only, and is keyed by the row', () => {
    const values = new Set(pixels);
    const flat: ImagePixels = { width: 8, height: 8, channels: 3, pixels: new Uint8Array(192).fill(120) };
    let kept = 0;
    for (let row = 0; row < 400; row++) {
      const out = randomAug(flat, 8, new RandomStream(2, 'augment', 0, 0, row));
      if (out.pixels.every((value) => value === 120)) kept++;
    }
    expect(values.size).toBe(256);
    expect(kept).toBeGreaterThan(50);
    expect(kept).toBeLessThan(120);
    const request = { shape: [size, size, 3], size: 16, flip: false, method: 'random-aug', seed: 3, step: 4 } as const;
    const batch = (images: Uint8Array, lane = 0) =>
      augmentBytes({ ...request, shape: [size, size, 3], images, lane }).subarray(-16 * 16 * 3);
    const twice = Uint8Array.from([...pixels, ...pixels]);
    expect(batch(twice)).toEqual(batch(Uint8Array.from([...pixels.map((v) => 255 - v), ...pixels])));
    expect(batch(twice)).not.toEqual(batch(twice, 1));
  });
});

it('centre-crop cuts the middle, mirrored where drawn', () => {
  const stored = Uint8Array.from({ length: 25 }, (_, i) => i);
  const cut = (step: number, flip: boolean) =>
    Array.from(
      augmentBytes({ images: stored, shape: [5, 5, 1], size: 3, flip, method: 'centre-crop', seed: 1, step, lane: 0 }),
    );
  const plain = [6, 7, 8, 11, 12, 13, 16, 17, 18];
  for (let step = 0; step < 5; step++) expect(cut(step, false)).toEqual(plain);
  const seen = new Set(Array.from({ length: 20 }, (_, step) => cut(step, true).join()));
  expect(seen).toEqual(new Set([plain.join(), '8,7,6,13,12,11,18,17,16']));
});
