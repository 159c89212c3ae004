import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sha256Hex } from './manifest.js';
import { pillowResize } from './pillow-resize.js';
import {
  cropCentre,
  halfToEven,
  officialResizeEdge,
  padCentred,
  prepareImage,
  resizeShorterSide,
  withChannels,
} from './preparation.js';
import type { ImagePixels } from './preparation.js';

const image = (width: number, height: number, channels: 1 | 3, value: (i: number) => number): ImagePixels => ({
  width,
  height,
  channels,
  pixels: Uint8Array.from({ length: width * height * channels }, (_, i) => value(i)),
});
const images = fc
  .tuple(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 12 }), fc.constantFrom(1 as const, 3 as const))
  .chain(([width, height, channels]) =>
    fc
      .uint8Array({ minLength: width * height * channels, maxLength: width * height * channels })
      .map((pixels): ImagePixels => ({ width, height, channels, pixels })),
  );

describe('pillowResize', () => {
  // Digests of what Pillow 9.5.0, 11.3.0 and 12.0.0 give: Image.frombytes(mode, (w, h), bytes).resize((W, H), BILINEAR),
  // with byte i = the highest byte of i * 2654435761 mod 2^32.
  it.each([
    [28, 28, 1, 32, 32, 'a758a1902f9976c72943d692471dffe277c7755ba6f4c86791e7b384857264d0'],
    [28, 28, 1, 35, 35, '768e8804feb4bed6b88c10375981c8e61043aa872470bdbf5f517dd79b0f8156'],
    [178, 218, 3, 143, 143, '70ba09d89afdea0b6548500d5d96316597d0b167c6b88fff37ae855766194f84'],
    [60, 37, 1, 40, 56, '215cf52face66e34864ffe76824940ed75a6184ec37494778765d22c8d15a4e8'],
    [8, 35, 1, 37, 31, '214bcfc721628fbd9c6f620f004b8021ef410541e1647444d8fe5cd1625c208d'],
    [3, 49, 1, 42, 7, '75c0b76d261d2de1a31b7d334ff10ac58e599beb98a4d07540cbdbbaf02b3ec1'],
    [40, 64, 3, 128, 9, '82fc0536e88f74975862c88335e6972158c3fbf34accbd170f0bcf0ede60e341'],
  ] as const)('equals Pillow: %i x %i x %i to %i x %i', (width, height, channels, toWidth, toHeight, digest) => {
    const source = image(width, height, channels, (i) => Math.imul(i, 2654435761) >>> 24);
    expect(sha256Hex(pillowResize(source, toWidth, toHeight).pixels)).toBe(digest);
  });

  it('keeps constants, ranges and the channels apart', () => {
    fc.assert(
      fc.property(images, fc.integer({ min: 1, max: 16 }), fc.integer({ min: 1, max: 16 }), (source, width, height) => {
        const result = pillowResize(source, width, height);
        expect(result.pixels).toHaveLength(width * height * source.channels);
        for (let c = 0; c < source.channels; c++) {
          const of = ({ pixels }: ImagePixels) => pixels.filter((_, i) => i % source.channels === c);
          expect(Math.min(...of(result))).toBeGreaterThanOrEqual(Math.min(...of(source)));
          expect(Math.max(...of(result))).toBeLessThanOrEqual(Math.max(...of(source)));
        }
      }),
    );
  });

  it('treats both axes alike', () => {
    const transpose = ({ width, height, channels, pixels }: ImagePixels): ImagePixels => ({
      width: height,
      height: width,
      channels,
      pixels: Uint8Array.from({ length: pixels.length }, (_, i) => {
        const [c, x, y] = [i % channels, Math.floor(i / channels) % height, Math.floor(i / channels / height)];
        return pixels[(x * width + y) * channels + c]!;
      }),
    });
    fc.assert(
      fc.property(images, fc.integer({ min: 1, max: 16 }), (source, size) => {
        expect(pillowResize(transpose(source), source.height, size).pixels).toEqual(
          transpose(pillowResize(source, size, source.height)).pixels,
        );
      }),
    );
  });
});

describe('preparation', () => {
  it('pads with zeros around the image', () => {
    const padded = padCentred(
      image(2, 2, 1, () => 9),
      5,
    );
    expect([...padded.pixels]).toEqual([0, 0, 0, 0, 0, 0, 9, 9, 0, 0, 0, 9, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    expect(() =>
      padCentred(
        image(6, 2, 1, () => 9),
        5,
      ),
    ).toThrow(expect.objectContaining({ code: 'THAW_DATA_INVALID' }));
  });

  it('rounds offsets as the official loaders', () => {
    expect([0, 1, 2, 3, 4, 5, 15].map(halfToEven)).toEqual([0, 0, 1, 2, 2, 2, 8]);
    expect([28, 32, 64, 128].map(officialResizeEdge)).toEqual([31, 35, 71, 143]);
    expect(
      cropCentre(
        image(5, 1, 1, (i) => i),
        2,
        1,
      ).pixels,
    ).toEqual(Uint8Array.of(2, 3));
  });

  it('changes channels', () => {
    expect([
      ...withChannels(
        image(2, 1, 1, (i) => i + 1),
        3,
      ).pixels,
    ]).toEqual([1, 1, 1, 2, 2, 2]);
    const colours: ImagePixels = {
      width: 4,
      height: 1,
      channels: 3,
      pixels: Uint8Array.of(255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255),
    };
    expect([...withChannels(colours, 1).pixels]).toEqual([76, 150, 29, 255]);
  });

  it('resizes the shorter side and cuts the centre', () => {
    expect(
      resizeShorterSide(
        image(10, 7, 1, (i) => i),
        5,
      ),
    ).toMatchObject({ width: 7, height: 5 });
    expect(
      resizeShorterSide(
        image(7, 10, 1, (i) => i),
        5,
      ),
    ).toMatchObject({ width: 5, height: 7 });
    expect(
      prepareImage(
        image(10, 7, 3, (i) => i),
        { method: 'pillow-bilinear-crop', size: 5, channels: 1 },
      ),
    ).toMatchObject({ width: 5, height: 5, channels: 1 });
    expect(
      prepareImage(
        image(10, 7, 3, (i) => i),
        { method: 'pillow-bilinear', size: 6 },
      ),
    ).toMatchObject({ width: 6, height: 6, channels: 3 });
    expect(() =>
      prepareImage(
        image(1, 1, 1, () => 0),
        { method: 'pad' },
      ),
    ).toThrow(expect.objectContaining({ code: 'THAW_DATA_INVALID' }));
  });
});
