/** The loaders of the official code, on its own outputs. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  augment,
  centreBatch,
  cropCentre,
  drawAugment,
  officialResizeEdge,
  pillowResize,
  resizeShorterSide,
} from '@thaw/shared/data';
import { pixelsToUnit } from '@thaw/shared/pixels';
import type { ImagePixels } from '@thaw/shared/data';
import { RandomStream } from '@thaw/shared/runtime';
import { decodeSafetensors } from '@thaw/shared/storage';

interface GoldenTensor {
  readonly key: string;
}
interface GoldenCase {
  readonly id: string;
  readonly file: string;
  readonly params: {
    image_size: number;
    source: number;
    mode: 'L' | 'RGB';
    crop: [number, number];
    flip: boolean;
    resized: number;
  };
  readonly inputs: { source: GoldenTensor };
  readonly outputs: { centre: GoldenTensor; plain: GoldenTensor; augmented: GoldenTensor };
}
const read = (name: string): Uint8Array => new Uint8Array(readFileSync(new URL(name, import.meta.url)));
const cases = (JSON.parse(new TextDecoder().decode(read('index.json'))) as { cases: GoldenCase[] }).cases.filter(
  ({ file }) => file === 'data.safetensors',
);
const { tensors } = decodeSafetensors(read('data.safetensors'));

/** Floating-point images of the official code, [C, H, W], in [-1, 1]. */
const official = ({ key }: GoldenTensor): Float32Array => tensors[key]!.data as Float32Array;
const channelsFirst = (hwc: Float32Array, size: number, channels: number): Float32Array =>
  Float32Array.from(
    { length: hwc.length },
    (_, i) => hwc[(i % (size * size)) * channels + Math.floor(i / (size * size))]!,
  );
function largestDifference(got: Float32Array, want: Float32Array): number {
  expect(got.length).toBe(want.length);
  return got.reduce((largest, value, i) => Math.max(largest, Math.abs(value - want[i]!)), 0);
}

describe('loaders', () => {
  it('are all here', () => expect(cases.length).toBe(2));

  // The tolerance allows pixels to fall either way; a bit-exact resize needs none of it.
  describe.each(cases.map((golden) => [golden.id, golden] as const))('%s', (_, { params, inputs, outputs }) => {
    const { image_size: size, source: edge, resized } = params;
    const channels = params.mode === 'L' ? 1 : 3;
    const source: ImagePixels = {
      width: edge,
      height: edge,
      channels,
      pixels: tensors[inputs.source.key]!.data as Uint8Array,
    };
    const stored = pillowResize(source, resized, resized);
    const shape = [resized, resized, channels] as [number, number, 1 | 3];

    it('plain 1.12: resize, centre crop', () => {
      expect(officialResizeEdge(size)).toBe(resized);
      const got = centreBatch({ images: stored.pixels, shape, size });
      expect(largestDifference(channelsFirst(got, size, channels), official(outputs.centre))).toBeLessThanOrEqual(1e-6);
    });

    it('mask plain: shorter side, centre crop', () => {
      const got = pixelsToUnit(cropCentre(resizeShorterSide(source, size), size, size).pixels);
      expect(largestDifference(channelsFirst(got, size, channels), official(outputs.plain))).toBeLessThanOrEqual(1e-6);
    });

    it('augmented: resize, crop and flip as drawn', () => {
      // A step whose draw is the crop and flip of the case: the whole path is compared with the official one.
      const [top, left] = params.crop;
      const step = Array.from({ length: 2000 }, (_, k) => k).find((k) => {
        const draw = drawAugment(new RandomStream(1, 'augment', k, 0, 0), shape, size, true);
        return draw.top === top && draw.left === left && draw.flip === params.flip;
      })!;
      const got = augment({ images: stored.pixels, shape, size, flip: true, seed: 1, step, lane: 0 });
      expect(largestDifference(channelsFirst(got, size, channels), official(outputs.augmented))).toBeLessThanOrEqual(
        1e-6,
      );
    });
  });
});
